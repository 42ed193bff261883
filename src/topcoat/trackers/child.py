"""`python -m topcoat.trackers.child TOOL FOLDER`: sends the run on stdin to one tracker.

A tracker's client is a guest: it prints, starts threads and processes, and may wait for its server for minutes. Here it
can be ended at any time. The only line on stdout is an `Answer`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from topcoat.store.records import Record
from topcoat.trackers.tools import TOOLS
from topcoat.trackers.tracked_run import TrackedRun

__all__ = ["Answer"]

_LONGEST_ERROR = 300


class Answer(Record):
    """Where the run is, or why it isn't there."""

    version: Literal[1] = 1
    where: str = ""
    error: str = ""


def _main(tool: str, folder: str) -> None:
    run = TrackedRun.model_validate_json(sys.stdin.buffer.read())
    said = os.dup(1)
    os.dup2(2, 1)  # what clients print
    try:
        answer = Answer(where=TOOLS[tool](run, Path(folder)))  # type: ignore[index]
    except Exception as error:
        lines = str(error).strip().splitlines()
        answer = Answer(error=f"{type(error).__name__}: {lines[0] if lines else ''}"[:_LONGEST_ERROR])
    os.write(said, answer.model_dump_json().encode())


if __name__ == "__main__":
    _main(*sys.argv[1:])
