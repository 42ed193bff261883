"""The Dockerfile, as far as it can be read: no Docker is needed."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
INSTALL = TEXT.partition("RUN set -eu;")[2].partition("\nENV ")[0].rpartition("\n#")[0].replace("\\\n", "\n")


def installed(cuda: str, folder: Path) -> list[str]:
    """What the image's pip would install, with a pip that only says so."""
    wheels = folder / "wheels"
    wheels.mkdir()
    (wheels / "topcoat-1.whl").touch()
    pip = folder / "pip"
    pip.write_text('#!/bin/sh\necho "$@"\n')
    pip.chmod(0o755)
    script = "set -eu;" + INSTALL.replace("/wheels", str(wheels))
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "CUDA": cuda}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert not wheels.exists()
    return [line.split()[-1].rpartition("/")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("cuda", "packages"),
    [
        ("", ["topcoat-1.whl"]),
        ("12", ["topcoat-1.whl[cuda]", "mlx-cuda-12"]),
        ("13", ["topcoat-1.whl[cuda13]", "mlx-cuda-13"]),
    ],
)
def test_each_build_installs_its_mlx_last(cuda: str, packages: list[str], tmp_path: Path) -> None:
    assert installed(cuda, tmp_path) == packages


def test_other_versions_of_cuda_are_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        installed("11", tmp_path)


def test_its_extras_and_files_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r'extra="\[(\w+)\]"', TEXT)
    assert named
    assert set(named) <= extras.keys()
    copied = [name for line in re.findall(r"^COPY (?!--)(.*) \S+$", TEXT, re.MULTILINE) for name in line.split()]
    assert [name for name in copied if not (ROOT / name).exists()] == []
