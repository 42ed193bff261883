"""What is forgotten outside of the suite: general texts and questions, after each coat and each model beside them."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from benchmarks.real.commands import run
from benchmarks.real.project import model_folder
from benchmarks.real.runs.coats import MOST_COATS, model_of
from benchmarks.real.stages import Figures, Stage, Work

__all__ = ["GENERAL", "measured"]


def measured(work: Work, name: str, folder: Path) -> Figures:
    """The general figures of a model's folder."""
    command: list[str | Path] = ["benchmarks.real.runs.measuring", "general", folder, model_folder(work)]
    ran = run(work, f"general-{name}", command, work.folder)
    return {**json.loads(ran.printed), **ran.spent}


def _root(work: Work) -> Figures:
    return measured(work, "root", model_folder(work))


def _coat(number: int, work: Work) -> Figures:
    """Nothing if the coat was never fused."""
    found = work.found(f"coat{number}")
    return measured(work, f"coat{number}", model_of(work, found["model"])) if "fuse" in found else {}


GENERAL = (
    Stage("general_root", _root, needs=("model",)),
    *(
        Stage(f"general_coat{number}", functools.partial(_coat, number), needs=(f"coat{number}",))
        for number in range(1, MOST_COATS + 1)
    ),
)
