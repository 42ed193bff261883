"""Checks that topcoat's dependencies resolve to wheels for every platform and Python that it is made for.

    python -m tools.check_resolution

It needs uv (`pip install uv`). Nothing is installed. MLX's wheels decide the oldest systems: macOS 14, glibc 2.35.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLATFORMS = ("aarch64-apple-darwin", "x86_64-manylinux_2_35", "aarch64-manylinux_2_35")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = ("inspect", "datasets", "mcp", "results")
MACOS = "14.0"


def fault(platform: str, python: str) -> str:
    """Why nothing can be installed there; "" if everything can, with every extra that needs no GPU."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    command = ["uv", "pip", "compile", "--quiet", "--only-binary", ":all:", "--python-platform", platform]
    done = subprocess.run(
        [*command, "--python-version", python, *extras, "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS},
    )
    return done.stderr.strip() if done.returncode else ""


def main() -> None:
    if shutil.which("uv") is None:
        sys.exit("uv is missing\n  hint: pip install uv")
    failed = False
    for platform, python in itertools.product(PLATFORMS, PYTHONS):
        said = fault(platform, python)
        failed = failed or bool(said)
        print(f"{platform}, Python {python}: {said or 'resolves'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
