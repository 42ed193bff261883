"""The command line as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["fake", "topcoat"]


def topcoat(
    *arguments: str | Path, cwd: Path | None = None, timeout: float = 280, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "topcoat", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def fake(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return topcoat("--engine", "fake", *arguments, cwd=project)
