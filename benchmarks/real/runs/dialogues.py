"""Dialogues of several turns, which no coat is about: the root and the lineage's last model on them.

topcoat plays and scores them. `benchmarks/bfcl_episodes` shows that its scores are those of the leaderboard's checker.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from statistics import mean

from benchmarks.real.commands import topcoat
from benchmarks.real.project import model_folder, project
from benchmarks.real.runs.coats import coats_of, model_of
from benchmarks.real.stages import Figures, Impossible, Options, Stage, Work
from topcoat.store.files import write_text

__all__ = ["dialogues"]


def _played(work: Work, name: str, model: Path) -> Figures:
    """What a model does with them, in a project whose suite they are."""
    folder = work.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project(work), folder, ignore=shutil.ignore_patterns("models", ".topcoat", "data", "phases"))
    if not (folder / "suites" / "episodes.jsonl").exists():
        raise Impossible("the suite has no dialogues: --episodes is 0")
    (folder / "models").mkdir()
    os.symlink(model_folder(work), folder / "models" / model_folder(work).name)
    settings = folder / "topcoat.toml"
    write_text(settings, settings.read_text(encoding="utf-8").replace("suites/bfcl.jsonl", "suites/episodes.jsonl"))
    ran = topcoat(work, folder, "eval", model, "--json", name=name)
    result = json.loads(ran.printed)
    values = [score["value"] for score in result["scores"]]
    return {
        "dialogues": len(values),
        "solved": sum(value == 1.0 for value in values),
        "score": mean(values),
        **ran.spent,
    }


def _root(work: Work) -> Figures:
    return _played(work, "dialogues_root", model_folder(work))


def _last(work: Work) -> Figures:
    promoted = [found for number in coats_of(work) if (found := work.found(f"coat{number}"))["promoted"]]
    if not promoted:
        raise Impossible("no coat was promoted")
    return _played(work, "dialogues_last", model_of(work, promoted[-1]["model"]))


def dialogues(options: Options) -> tuple[Stage, ...]:
    """The stages. All coats come before the second one."""
    return (
        Stage("dialogues_root", _root, needs=("settings",)),
        Stage("dialogues_last", _last, needs=(f"coat{options.coats}",)),
    )
