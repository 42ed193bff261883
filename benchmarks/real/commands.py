"""Runs commands, and says what they took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.real.stages import Figures, Work

__all__ = ["Ran", "run", "topcoat"]

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
PROMOTED_OR_NOT = (0, 3)
"""Exit codes of `topcoat run`: 3 is the gate's no."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, its wall and processor seconds, and the most bytes that it held."""

    printed: str
    seconds: float
    processor_seconds: float
    peak: int

    @property
    def spent(self) -> Figures:
        """Wall and processor seconds, and the most bytes."""
        return {
            "seconds": round(self.seconds, 1),
            "processor_seconds": round(self.processor_seconds, 1),
            "peak": self.peak,
        }


def run(work: Work, name: str, command: Sequence[str | Path], folder: Path, codes: Sequence[int] = (0,)) -> Ran:
    """Run a Python module in `folder`. Its errors, and what it reports, go to `logs/NAME.log` of the work.

    Raises RuntimeError with the end of that file if the exit code isn't one of `codes`.
    """
    log = work.folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    words = [sys.executable, "-m", *map(str, command)]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        with process.stdout as output:
            printed = output.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        said = f"{printed[-2000:]}\n{log.read_text(encoding='utf-8')[-4000:]}"
        raise RuntimeError(f"{' '.join(words)} in {folder} ended with {process.returncode}:\n{said}")
    seconds = time.monotonic() - begun
    return Ran(printed, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * _PEAK_UNIT)


def topcoat(work: Work, folder: Path, *arguments: str | Path, name: str = "", codes: Sequence[int] = (0,)) -> Ran:
    """Run a command of topcoat in a project of the work. `name` is that of its log; the command's own if empty."""
    return run(work, name or str(arguments[0]), ["topcoat", *arguments], folder, codes)
