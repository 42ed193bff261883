"""Makes the project: the embedded one with three more categories, and five phases with their data."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.five_phases.language import CATALOG, FILES, KINDS, NO_TOOL, THREE, Part, cases, examples, requests
from benchmarks.five_phases.parts import PARTS, WHOLE, embedded_examples, suite_cases, unseen_cases_of_parts
from benchmarks.unseen.cases import Wordings, new_wordings
from benchmarks.unseen.cases import cases as unseen_cases
from benchmarks.unseen.words import UNSEEN
from tools.demo_model.dialogues import Example
from tools.demo_model.language.names import Names
from tools.demo_model.language.wording import wording
from tools.demo_model.language.words import SUITE, TRAINING
from tools.demo_model.suite import wordings_by_tools
from topcoat.demo import TEMPLATE
from topcoat.spec.suite import Case, Suite

__all__ = ["SERIES", "STRONG", "Aim", "make_project", "taught", "unseen_suites"]

PHASE = """\
[phase]
base = "production"

[data]
train = ["data/{name}.jsonl"]
valid = "data/{name}-valid.jsonl"
replay = {replay}

[train]
iters = {iters}
batch_size = 8
learning_rate = {rate}
optimizer = "adam"
warmup = 40
schedule = "cosine"
num_layers = 8
grad_accumulation_steps = 1
steps_per_eval = 60
patience = 0
seed = {seed}

[train.lora]
rank = 16
scale = 20.0

[gate.target]
{category} = {target}

[gate]
no_regression = {others}
evidence = "mean"
tolerance = 0.04

[retry]
max_attempts = 3
"""
EXAMPLES, VALID = 240, 16
"""Examples and validation examples of a phase."""
CASES = {FILES: 28, NO_TOOL: 28, THREE: 32}
PART_CASES = 72
"""Cases of the suite in each category that the embedded suite doesn't have, and in each part."""


STRONG = ("text_tools", "validation", "lsp", "git", "cst")
"""What the base does well."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A phase: its place in the row, its category, its target, and how it is trained.

    What the base does well and what earlier phases were for may not fall. A category that waits for its phase may.
    """

    number: int
    category: str
    target: float
    rate: float = 3e-4
    iters: int = 240
    replay: float = 0.6

    @property
    def name(self) -> str:
        """The phase's, with its number."""
        return f"coat{self.number}-{self.category}"


SERIES: Mapping[str, tuple[Aim, ...]] = {
    "parts": (
        Aim(1, "markup", 0.80),
        Aim(2, "services", 0.80),
        Aim(3, "positions", 0.60, iters=360),
        Aim(4, "changes", 0.60),
        Aim(5, "findings", 0.60, iters=360),
    ),
    "kinds": (
        Aim(1, "domain", 0.80),
        Aim(2, "multi_tool", 0.60, iters=360),
        Aim(3, FILES, 0.80, iters=480),
        Aim(4, NO_TOOL, 0.80, iters=360),
        Aim(5, THREE, 0.60, iters=600),
    ),
}
"""Two rows of five phases. `parts` divides what the embedded model does poorly. `kinds` adds what it can't do at all:
new tools, requests that no tool fits, and chains of three calls."""


def make_project(folder: Path, series: str, seed: int) -> None:
    """The project of a row and a seed, which decides the names and the order of the data, and the training."""
    begun = folder.with_name(f"{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.copytree(TEMPLATE, begun)
    (begun / "phases" / "phase34a.toml").unlink()
    for data in (begun / "data").glob("phase34a*"):
        data.unlink()
    suite = begun / "suites" / "routing.jsonl"
    rows = [json.loads(line) for line in suite.read_text(encoding="utf-8").splitlines()]
    if series == "parts":
        rows = [row for row in rows if row["category"] not in WHOLE]
        rows += [row for part in PARTS for row in suite_cases(part, PART_CASES)]
    else:
        with (begun / "tools.pyi").open("a", encoding="utf-8") as file:
            file.write(CATALOG)
        names = Names(SUITE, random.Random("five phases: suite"))
        asked = {kind: requests(kind, "suite", random.Random("five phases: suite")) for kind in KINDS}
        rows += [row for kind in KINDS for row in cases(asked[kind], CASES[kind], names)]
    suite.write_text(_lines(rows), encoding="utf-8")
    for aim in SERIES[series]:
        _write_phase(begun, aim, SERIES[series], seed)
    begun.rename(folder)


def _write_phase(project: Path, aim: Aim, series: Sequence[Aim], seed: int) -> None:
    for name, number, key in ((aim.name, EXAMPLES, "train"), (f"{aim.name}-valid", VALID, "valid")):
        rows = taught(aim.category, number, random.Random(f"{seed} {aim.category} {key}"))
        (project / "data" / f"{name}.jsonl").write_text(_lines(rows), encoding="utf-8")
    earlier = [other.category for other in series[: aim.number - 1]]
    text = PHASE.format(
        name=aim.name, category=aim.category, target=aim.target, others=json.dumps([*STRONG, *earlier]), seed=seed,
        rate=aim.rate, iters=aim.iters, replay=aim.replay,
    )  # fmt: skip
    (project / "phases" / f"{aim.name}.toml").write_text(text, encoding="utf-8")


def taught(category: str, number: int, rng: random.Random) -> list[Example]:
    """``number`` examples of a category, in wordings that take turns and with names drawn by ``rng``; shuffled."""
    names = Names(TRAINING, rng)
    if category in KINDS:
        rows = examples(requests(category, "train", rng), number, names, rng)
    else:
        rows = list(islice(embedded_examples(category, names, rng), number))
    rng.shuffle(rows)
    return rows


def unseen_suites(project: Path, series: str, count: int) -> dict[str, Suite]:
    """``count`` cases of each category that no file of the project has: with new names, and in new wordings too.

    The names' words stand in no training. A wording that the data of ``project`` has is left out.
    """
    trained = _trained_wordings(project)
    new = {tools: [text for text in texts if wording(text) not in trained] for tools, texts in new_wordings().items()}
    return {
        "new names": _unseen("new names", series, wordings_by_tools(), "suite", count),
        "new wordings": _unseen("new wordings", series, new, "unseen", count),
    }


def _unseen(name: str, series: str, embedded: Wordings, part: Part, count: int) -> Suite:
    """The cases of one set: the embedded categories' are worded as in `embedded`, the others' as in `part`."""
    rows = unseen_cases(embedded, count, seed=5)
    if series == "parts":
        rows = [row for row in rows if row.category not in WHOLE] + unseen_cases_of_parts(embedded, count, seed=5)
        return Suite(Path(name), tuple(rows))
    names = Names(UNSEEN, random.Random(f"five phases: {name}"))
    for kind in KINDS:
        asked = requests(kind, part, random.Random(f"five phases: {part}"))
        rows += [Case.model_validate(row) for row in cases(asked, count, names)]
    return Suite(Path(name), tuple(rows))


def _trained_wordings(project: Path) -> set[str]:
    files = sorted((project / "data").glob("coat*.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {wording(json.loads(line)["messages"][1]["content"]) for line in lines}


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
