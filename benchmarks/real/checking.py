"""The leaderboard's own checker beside topcoat's scores, on what an evaluation answered."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real.commands import topcoat
from benchmarks.real.project import SUITE, Truths, model_folder, project, write_lines
from benchmarks.real.split import CATEGORIES, Row, read_lines
from benchmarks.real.stages import Figures, Stage, Work
from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog

__all__ = ["SAMPLE", "both"]

AGENT = Agent(own_catalog([], Path("tools.json")), calls="native")


def both(work: Work, cases: Sequence[Row], scores: Sequence[Mapping[str, Any]]) -> Figures:
    """By category: the cases, and how many are right by topcoat and by the leaderboard's own checker.

    `scores` are those of `topcoat eval --json`, with their answers.
    """
    truths = Truths(work)
    rows = {row["id"]: row for row in cases}
    found: defaultdict[str, dict[str, int]] = defaultdict(lambda: {"n": 0, "topcoat": 0, "leaderboard": 0})
    for score in scores:
        row = rows[score["case_id"]]
        calls = parse(score["answer"], AGENT.bringing(row["tools"])).calls
        counts = found[row["category"]]
        counts["n"] += 1
        counts["topcoat"] += score["value"] == 1.0
        counts["leaderboard"] += not truths.fault(row, [{call.tool: dict(call.kwargs)} for call in calls])
    return {category: found[category] for category in CATEGORIES if category in found}


def _sample(work: Work) -> Figures:
    """The base on a few cases of each category, in a project of their own."""
    folder = work.folder / "sample"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project(work), folder, ignore=shutil.ignore_patterns("models", ".topcoat", "data", "phases"))
    (folder / "models").mkdir()
    os.symlink(model_folder(work), folder / "models" / model_folder(work).name)
    taken: defaultdict[str, list[Row]] = defaultdict(list)
    for row in read_lines(project(work) / SUITE):
        taken[row["category"]].append(row)
    cases = [row for category in CATEGORIES for row in taken[category][: work.options.sampled]]
    write_lines(folder / SUITE, cases)
    ran = topcoat(work, folder, "eval", "--json", name="sample")
    result = json.loads(ran.printed)
    return {
        "scores": both(work, cases, result["scores"]),
        **ran.spent,
        "generated_tokens": result["generated_tokens"],
    }


SAMPLE = Stage("sample", _sample, needs=("settings",), options=("sampled",))
