"""Builds the wheel and the sdist, and checks what they hold; installs the wheel in a new environment and starts it.

    python -m tools.check_distribution [--to FOLDER]

The wheel must hold every file of src/topcoat that git knows, and nothing else of topcoat. pip fetches what is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
STARTED = (["--version"], ["demo", "--help"])


def run(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True).stdout


def environment(folder: Path, *packages: str | Path) -> Path:
    """The folder of programs of a new environment with these packages."""
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages)
    return folder / "bin"


def faults(wheel: Path, sdist: Path) -> list[str]:
    """What the wheel lacks or has too much, and what the sdist lacks."""
    known = {Path(name) for name in run("git", "ls-files", "src/topcoat").splitlines()}
    with zipfile.ZipFile(wheel) as archive:
        held = {Path("src") / name for name in archive.namelist() if name.startswith("topcoat/")}
    with tarfile.open(sdist) as tar:
        source = {Path(*Path(member.name).parts[1:]) for member in tar.getmembers()}
    return [
        *(f"the wheel lacks {name}" for name in sorted(known - held)),
        *(f"the wheel holds {name}, which git doesn't know" for name in sorted(held - known)),
        *(f"the sdist lacks {name}" for name in sorted(known - source)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="where the wheel and the sdist are written")
    target: Path = parser.parse_args().to
    with tempfile.TemporaryDirectory() as folder:
        builder = environment(Path(folder) / "build", "build")
        run(builder / "python", "-m", "build", "--outdir", target)
        (wheel,), (sdist,) = list(target.glob("*.whl")), list(target.glob("*.tar.gz"))
        found = faults(wheel, sdist)
        print("\n".join(found) or f"{wheel.name} and {sdist.name} hold what they should")
        if found:
            sys.exit(1)
        programs = environment(Path(folder) / "clean", wheel)
        for words in STARTED:
            print(f"$ topcoat {' '.join(words)}\n{run(programs / 'topcoat', *words)}", flush=True)


if __name__ == "__main__":
    main()
