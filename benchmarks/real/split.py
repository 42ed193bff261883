"""Which questions are trained on, and which are asked.

Questions that share a tool, directly or through others, are one group, and a group lies wholly on one side. So no tool
of a question that is asked is ever trained on. The side is decided by a hash of the group's tools. One group holds
nearly half of all questions, because common tools link it; it is always trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real.sources import leaderboard
from benchmarks.real.stages import Figures, Stage, Work
from topcoat.suites.bfcl.importing import import_bfcl

__all__ = ["CATEGORIES", "EPISODES", "SPLIT", "Row", "asked", "read_lines", "trained"]

Row = dict[str, Any]

CATEGORIES = (
    *("simple", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    *("live_simple", "live_multiple", "live_irrelevance"),
)
EPISODES = "multi_turn_base"
"""Dialogues. They share eight systems, whose tools no other question has, and are only asked."""

ASKED = 0.6
"""The share of the groups, but for the largest, that are asked."""


def asked(work: Work) -> Path:
    """The questions that are asked: cases of a suite."""
    return work.folder / "split" / "asked.jsonl"


def trained(work: Work) -> Path:
    """The questions that are trained on, also as cases."""
    return work.folder / "split" / "trained.jsonl"


def read_lines(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _share(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _tools(row: Row) -> list[str]:
    return sorted({tool["function"]["name"] for tool in row["tools"]})


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The questions, linked by common tools, the largest group first. One without tools is a group."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        above.setdefault(name, name)
        while above[name] != name:
            above[name] = name = above[above[name]]
        return name

    for row in rows:
        for name in _tools(row):
            above[top(name)] = top(_tools(row)[0])
    linked: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        linked[top(_tools(row)[0]) if row["tools"] else f"no tools: {row['id']}"].append(row)
    return sorted(linked.values(), key=lambda group: (-len(group), group[0]["id"]))


def sides(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The questions that are trained on, and those that are asked; each side ordered by a hash of the ids."""
    largest, *others = groups(rows)
    train = list(largest)
    ask: list[Row] = []
    for group in others:
        names = sorted({name for row in group for name in _tools(row)})
        (ask if _share(" ".join(names) or group[0]["id"]) < ASKED else train).extend(group)
    train.sort(key=lambda row: _share(row["id"]))
    ask.sort(key=lambda row: _share(row["id"]))
    shared = {name for row in train for name in _tools(row)} & {name for row in ask for name in _tools(row)}
    assert not shared, f"trained on and asked: {sorted(shared)[:3]}"
    return train, ask


def _split(work: Work) -> Figures:
    folder = work.folder / "split"
    folder.mkdir(exist_ok=True)
    path = folder / "bfcl.jsonl"
    path.unlink(missing_ok=True)
    imported = import_bfcl(leaderboard(work), path, CATEGORIES)
    rows = read_lines(path)
    train, ask = sides(rows)
    for target, side in ((trained(work), train), (asked(work), ask)):
        target.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in side), encoding="utf-8")
    return {
        "questions": len(rows),
        "left_out": len(imported.left_out),
        "groups": len(groups(rows)),
        "largest": len(groups(rows)[0]),
        "trained": _counts(train),
        "asked": _counts(ask),
    }


def _counts(rows: Sequence[Row]) -> Mapping[str, int]:
    found = Counter(row["category"] for row in rows)
    return {category: found[category] for category in CATEGORIES}


SPLIT = Stage("split", _split, needs=("fetch",))
