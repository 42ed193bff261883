"""Writes the project: the base, the suite, and the pools of examples."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.bfcl_agreement.checker import Checker
from benchmarks.real.commands import topcoat
from benchmarks.real.examples import example_of, right_calls
from benchmarks.real.sources import gguf_file, leaderboard
from benchmarks.real.split import CATEGORIES, EPISODES, Row, asked, read_lines, trained
from benchmarks.real.stages import Figures, Stage, Work
from topcoat.store.files import write_text
from topcoat.suites.bfcl.categories import CATEGORIES as KNOWN
from topcoat.suites.bfcl.files import open_files
from topcoat.suites.bfcl.importing import import_bfcl

__all__ = ["PROJECT", "SUITE", "Truths", "model_folder", "pool", "project", "write_lines"]

SUITE = "suites/bfcl.jsonl"
SYSTEM = "You call tools. If no tool fits what is asked, say so without a call."


def project(work: Work) -> Path:
    return work.folder / "project"


def model_folder(work: Work) -> Path:
    """The base, converted from the GGUF file."""
    return project(work) / "models" / gguf_file(work).stem


def pool(work: Work, category: str) -> Path:
    """All examples of a category that may be trained on, in an order that a hash decides."""
    return project(work) / "data" / "pool" / f"{category}.jsonl"


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


class Truths:
    """The leaderboard's questions as its files have them, by id, and its own checker."""

    def __init__(self, work: Work) -> None:
        files = open_files(leaderboard(work))
        self._functions: dict[str, list[Any]] = {}
        self._truths: dict[str, list[Any]] = {}
        self._checker = Checker(leaderboard(work) / "bfcl_eval")
        for name in CATEGORIES:
            category = KNOWN[name]
            for _, line in files.lines(category.stem):
                if line.strip():
                    question = json.loads(line)
                    self._functions[question["id"]] = question["function"]
            for _, line in files.lines(category.stem, answers=True) if category.expected == "calls" else ():
                if line.strip():
                    answer = json.loads(line)
                    self._truths[answer["id"]] = answer["ground_truth"]

    def of(self, row: Mapping[str, Any]) -> list[Any]:
        """The ground truth of a case; empty where no call is right."""
        return self._truths.get(row["id"], [])

    def fault(self, row: Mapping[str, Any], calls: Sequence[dict[str, dict[str, Any]]]) -> str:
        """What the leaderboard's checker finds wrong with these calls; "" if they are right."""
        return self._checker.fault(self._functions[row["id"]], calls, self.of(row), KNOWN[row["category"]].stem)


def _model(work: Work) -> Figures:
    """Begin the project around the base, and give the base a chat template that shows tools: its own has none."""
    shutil.rmtree(project(work), ignore_errors=True)
    project(work).mkdir(parents=True)
    topcoat(work, work.folder, "init", project(work), "--base", gguf_file(work))
    for name in ("suites/routing.jsonl", "data/phase1.jsonl", "phases/phase1.toml"):
        (project(work) / name).unlink()
    shutil.copyfile(Path(__file__).with_name("chat_template.jinja"), model_folder(work) / "chat_template.jinja")
    size = sum(path.stat().st_size for path in model_folder(work).iterdir())
    return {"model": model_folder(work).name, "bytes": size}


def _suite(work: Work) -> Figures:
    """The first questions of each category, in the order of the split, and dialogues."""
    taken: defaultdict[str, list[Row]] = defaultdict(list)
    for row in read_lines(asked(work)):
        if len(taken[row["category"]]) < work.options.cases:
            taken[row["category"]].append(row)
    cases = [row for category in CATEGORIES for row in taken[category]]
    path = project(work) / SUITE
    write_lines(path, cases)
    episodes = _episodes(work)
    if episodes:
        write_lines(path.with_name("episodes.jsonl"), episodes)
    tools = {tool["function"]["name"] for row in cases for tool in row["tools"]}
    counted = Counter(row["category"] for row in [*cases, *episodes])
    return {"cases": dict(counted), "tools": len(tools), "families": len({row["family"] for row in cases})}


def _episodes(work: Work) -> list[Row]:
    """Dialogues of several turns, with the file that simulates their systems beside the suite."""
    folder = project(work) / "suites"
    every = folder / "every.jsonl"
    for path in (every, folder / "leaderboard_systems.py"):
        path.unlink(missing_ok=True)
    import_bfcl(leaderboard(work), every, [EPISODES])
    rows = read_lines(every)
    every.unlink()
    Random(work.options.seed).shuffle(rows)
    return rows[: work.options.episodes]


def _examples(work: Work) -> Figures:
    """Right answers to the questions that may be trained on, as far as the leaderboard's checker takes them.

    A question that its category asks twice is one example.
    """
    truths = Truths(work)
    made: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    wrong: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for row in read_lines(trained(work)):
        question = row.get("prompt") or " ".join(str(turn["content"]) for turn in row["messages"])
        calls = right_calls(truths.of(row), question)
        if truths.fault(row, calls):
            wrong[row["category"]] += 1
        elif question.lower() in made[row["category"]]:
            repeated[row["category"]] += 1
        else:
            made[row["category"]][question.lower()] = example_of(row, calls, SYSTEM)
    for category, examples in made.items():
        write_lines(pool(work, category), examples.values())
    return {
        "pool": {category: len(made[category]) for category in CATEGORIES},
        "not_right": dict(wrong),
        "repeated": dict(repeated),
    }


def _settings(work: Work) -> Figures:
    settings = (
        f'[project]\nname = "bfcl"\nbase = "models/{model_folder(work).name}"\ncatalog = "tools.json"\n'
        f'suite = "{SUITE}"\nsystem_prompt = "prompts/system.md"\ncalls = "native"\n'
    )
    write_text(project(work) / "topcoat.toml", settings)
    write_text(project(work) / "prompts" / "system.md", f"{SYSTEM}\n")
    return {}


PROJECT = (
    Stage("model", _model, needs=("fetch",)),
    Stage("suite", _suite, needs=("model", "split"), options=("cases", "episodes", "seed")),
    Stage("settings", _settings, needs=("suite",)),
    Stage("examples", _examples, needs=("model", "split")),
)
