"""A coat that learns to recover: on the embedded model, a phase about calls that fail and say why.

    python -m benchmarks.recovering WORK [--seed 0 --seed 1] [--each 120] [--json FILE]

For each seed, copies the embedded project to WORK/seed-SEED, adds two categories of episodes to its suite, writes the
phase and its dialogues, and has `topcoat run` do the rest. In `recover`, a tool fails and says why; the case is solved
by a right second call and an answer without a call. In `works`, the first call works, and a second one would be wrong.
The cases are the same for every seed; names and order of the dialogues, and training, are the seed's. Start it again
to go on where it was killed. Training and evaluation take about twelve minutes of one CPU core for a seed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.recovering.dialogues import KNOWN, NEW, RECOVER, WORKS, cases, examples, scenes
from topcoat.demo import TEMPLATE
from topcoat.spec.agent import Agent
from topcoat.spec.tools.loading import load_catalog

PHASE = """\
[phase]
base = "production"

[data]
train = ["data/recover.jsonl", "data/phase34a.jsonl"]
valid = "data/recover-valid.jsonl"
replay = 0.6

[train]
iters = 800
batch_size = 8
learning_rate = 3e-4
optimizer = "adam"
warmup = 60
schedule = "cosine"
num_layers = 8
grad_accumulation_steps = 1
steps_per_eval = 80
patience = 0
seed = {seed}

[train.lora]
rank = 16
scale = 20.0

[gate.target]
recover = 0.60

[gate]
no_regression = {others}
evidence = "mean"
tolerance = 0.04

[retry]
max_attempts = 1
"""
CASES, WORKING, VALID = 6, 12, 2
"""Cases of each failure, cases in which the first call works, and validation dialogues of each failure."""

Document = dict[str, Any]


def make_project(folder: Path, seed: int, each: int) -> None:
    """The embedded project with the two categories, the dialogues and the phase. `each` dialogues of every failure."""
    begun = folder.with_name(f"{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.copytree(TEMPLATE, begun)
    prompt = (begun / "prompts" / "system.md").read_text(encoding="utf-8").strip()
    agent = Agent(load_catalog(begun / "tools.pyi"), prompt, "code")
    suite = begun / "suites" / "routing.jsonl"
    others = list(dict.fromkeys(json.loads(line)["category"] for line in suite.read_text("utf-8").splitlines()))
    with suite.open("a", encoding="utf-8") as file:
        file.write(_lines(cases(scenes("cases", CASES, WORKING, "0"), agent)))
    for name, count, key in (("recover", each, f"{seed}"), ("recover-valid", VALID, f"{seed} valid")):
        rows = examples(scenes("examples", count, 2 * count // 3, key), agent)
        (begun / "data" / f"{name}.jsonl").write_text(_lines(rows), encoding="utf-8")
    phase = PHASE.format(seed=seed, others=json.dumps([*others, WORKS]))
    (begun / "phases" / "recover.toml").write_text(phase, encoding="utf-8")
    begun.rename(folder)


def _lines(rows: Iterable[Document]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def run(project: Path, *options: str) -> Document:
    """What `topcoat run` says of the phase, promoted or not. A phase that has ended is read back."""
    command = [sys.executable, "-m", "topcoat", "--project", str(project), *options, "run", "recover", "--json"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        raise SystemExit(done.returncode)
    document: Document = json.loads(done.stdout)
    return document


def rows(outcomes: Sequence[Document]) -> list[tuple[str, int, list[float]]]:
    """By category: its name, its cases, the mean scores before, and after each of the attempts of `outcomes`.

    The cases of `recover` stand once more, apart: failures that training knows, and new ones.
    """
    last = [outcome["attempts"][-1] for outcome in outcomes]
    scores: list[list[Document]] = [attempt["before"]["scores"] for attempt in last]
    after: list[list[Document]] = [attempt["after"]["scores"] for attempt in last]
    groups: dict[str, Callable[[Document], bool]] = {
        **{name: partial(_of, name, "") for name in dict.fromkeys(score["category"] for score in scores[0])},
        f"{RECOVER}, known": partial(_of, RECOVER, f"-{KNOWN}-"),
        f"{RECOVER}, new": partial(_of, RECOVER, f"-{NEW}-"),
    }
    return [
        (
            name,
            sum(map(belongs, scores[0])),
            [100 * fmean(s["value"] for s in found if belongs(s)) for found in (*scores[:1], *after)],
        )
        for name, belongs in groups.items()
    ]


def _of(category: str, mark: str, score: Document) -> bool:
    return bool(score["category"] == category and mark in score["case_id"])


def table(outcomes: Sequence[Document], seeds: Sequence[int]) -> str:
    """The scores before and after as a table in Markdown."""
    heads = ["category", "cases", "before", *(f"seed {seed}" for seed in seeds)]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for name, count, values in rows(outcomes):
        lines.append(f"| {name} | {count} | {' | '.join(f'{value:.1f}' for value in values)} |")
    promoted = ["yes" if outcome["promoted"] else "no" for outcome in outcomes]
    return "\n".join([*lines, f"| promoted | | | {' | '.join(promoted)} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--each", type=int, default=120)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seeds = given.seed or [0]
    outcomes = []
    for seed in seeds:
        project = given.work / f"seed-{seed}"
        if not project.exists():
            make_project(project, seed, given.each)
        outcomes.append(run(project))
    print(table(outcomes, seeds))
    if given.json:
        given.json.write_text(json.dumps(outcomes, indent=1) + "\n")


if __name__ == "__main__":
    main()
