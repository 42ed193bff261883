"""The lineage: the root's scores, then coat after coat, each planned, checked and run by topcoat's own commands."""

from __future__ import annotations

import functools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.real.checking import both
from benchmarks.real.commands import PROMOTED_OR_NOT, topcoat
from benchmarks.real.project import SUITE, pool, project, write_lines
from benchmarks.real.split import CATEGORIES, Row, read_lines
from benchmarks.real.stages import Figures, Impossible, Stage, Work
from topcoat.spec.phase import PhaseSpec, RetrySpec, load_phase
from topcoat.spec.phase_text import phase_text
from topcoat.store.files import write_text

__all__ = [
    "COATS",
    "MOST_COATS",
    "ROOT",
    "attempt_figures",
    "coats_of",
    "figures_of",
    "lineage",
    "model_of",
    "phase_of",
]

MOST_COATS = 9
AIMED = 2
"""A coat aims at so many of the weak categories."""
SILENT = ("irrelevance", "live_irrelevance")
"""Categories in which no call is right."""
KEPT = 1 / 3
"""The share of a coat's examples that make no call. Without them, one coat teaches a model to always call."""
FLOOR = 0.8
"""Where no call is right, at least so many cases stay so."""
STEP = 0.5
"""The part of plan's step that a coat has to reach: this model is small."""
LEAST_TOLERANCE = 0.1
TOLERATED = 2
"""So many cases of a category may fall, and at least `LEAST_TOLERANCE` of them."""


def lineage(work: Work) -> Path:
    """The project of the coats: a copy of the one that was made, with the root's scores."""
    return work.folder / "lineage"


def coats_of(work: Work) -> range:
    """The numbers of the coats."""
    return range(1, work.options.coats + 1)


def phase_of(work: Work, number: int) -> PhaseSpec:
    return load_phase(lineage(work) / "phases" / f"coat{number}.toml")


def model_of(work: Work, name: str) -> Path:
    """The folder of a model of the lineage."""
    return lineage(work) / ".topcoat" / "models" / name


def _root(work: Work) -> Figures:
    """The root's scores on the suite."""
    shutil.rmtree(project(work) / ".topcoat", ignore_errors=True)
    ran = topcoat(work, project(work), "eval", "--json", name="root")
    result = json.loads(ran.printed)
    return {
        "scores": both(work, read_lines(project(work) / SUITE), result["scores"]),
        **ran.spent,
        "generated_tokens": result["generated_tokens"],
    }


def _begin(work: Work) -> Figures:
    """A project for the coats."""
    shutil.rmtree(lineage(work), ignore_errors=True)
    shutil.copytree(project(work), lineage(work), ignore=shutil.ignore_patterns("pool"))
    return {}


def _plan(work: Work, number: int) -> Figures:
    """What `topcoat plan` calls weak, the phase for the next two of these categories, its examples, and its check."""
    name = f"coat{number}"
    weak = json.loads(topcoat(work, lineage(work), "plan", "--json", name=f"plan{number}").printed)["needs"]
    if not weak:
        raise Impossible("topcoat plan calls no category weak, so there is no further coat")
    before = [work.found(f"plan{earlier}")["aims"] for earlier in range(1, number)]
    aims = aims_of([need["category"] for need in weak], before)
    counts = counts_without_calls(work.options.examples, aims)
    path = lineage(work) / "phases" / f"{name}.toml"
    path.unlink(missing_ok=True)
    targets = [word for aim in aims for word in ("--target", aim)]
    examples = work.options.examples - sum(counts.values())
    asked: list[str | Path] = ["--write", path, *targets, "--examples", str(examples), "--json"]
    planned = topcoat(work, lineage(work), "plan", *asked, name=f"plan{number}")
    plan = json.loads(planned.printed)
    counts.update({need["category"]: need["examples"] for need in plan["needs"]})
    data = lineage(work) / "data" / f"{name}.jsonl"
    write_lines(data, drawn(work, counts, number))
    cases = Counter(row["category"] for row in read_lines(lineage(work) / SUITE))
    means = {score: row["topcoat"] / row["n"] for score, row in _production(work, number)["scores"].items()}
    spec = adapted(load_phase(path), plan["needs"], means, cases, work.options.updates)
    write_text(path, phase_text(spec))
    checked = topcoat(work, lineage(work), "check", name, "--no-measure", "--json", name=f"check{number}")
    report = json.loads(checked.printed)
    return {
        "weak": {need["category"]: need["mean"] for need in weak},
        "aims": aims,
        "targets": spec.gate.target,
        "examples": dict(counts),
        "findings": dict(Counter(f"{found['severity']} {found['code']}" for found in report["findings"])),
        "budget": report["budget"],
    }


def aims_of(weak: Sequence[str], before: Sequence[Sequence[str]]) -> list[str]:
    """The next categories to aim at: of the weak ones, in plan's order, those first that were aimed at least often."""
    aimed = Counter(category for aims in before for category in aims)
    return sorted(weak, key=lambda category: aimed[category])[:AIMED]


def counts_without_calls(examples: int, aims: Sequence[str]) -> dict[str, int]:
    """The examples without a call, by category, for a coat that isn't about these."""
    silent = [category for category in SILENT if category not in aims]
    if len(silent) < len(SILENT):
        return {}
    return {category: round(examples * KEPT / len(silent)) for category in silent}


def drawn(work: Work, counts: Mapping[str, int], number: int) -> list[Row]:
    """New examples, and those of earlier coats where a pool has too few. No question stands in the file twice."""
    earlier = [row for one in range(1, number) for row in read_lines(lineage(work) / "data" / f"coat{one}.jsonl")]
    used = {_question(row) for row in earlier}
    taken: set[str] = set()
    chosen: list[Row] = []
    for category, count in counts.items():
        rows = [row for row in read_lines(pool(work, category)) if _question(row) not in taken]
        rows.sort(key=lambda row: _question(row) in used)
        fresh = list({_question(row): row for row in reversed(rows)}.values())[::-1][:count]
        taken.update(_question(row) for row in fresh)
        chosen += fresh
    Random(work.options.seed + number).shuffle(chosen)
    return chosen


def _question(row: Row) -> str:
    return " ".join(str(turn["content"]) for turn in row["messages"][1:-1]).lower()


def adapted(
    spec: PhaseSpec,
    needs: Sequence[Mapping[str, Any]],
    means: Mapping[str, float],
    cases: Mapping[str, int],
    updates: int,
) -> PhaseSpec:
    """A planned phase with this benchmark's number of updates, and a gate for a small model and a small suite.

    Falls are those of the mean: a guard of hundreds of cases would take longer than the coat. `means` are production's
    scores by topcoat, `cases` the suite's, both by category.
    """
    rows = spec.train.grad_accumulation_steps
    train = spec.train.model_copy(
        update={
            "iters": updates * rows,
            "warmup": updates // 10,
            "steps_per_eval": max(1, updates // 3) * rows,
            "save_every": max(1, updates // 6) * rows,
        }
    )
    target = {need["category"]: need["mean"] + STEP * (need["target"] - need["mean"]) for need in needs}
    target = {category: math.floor(100 * score + 1e-9) / 100 for category, score in target.items()}
    target |= {category: FLOOR for category in SILENT if category not in target and means[category] >= FLOOR}
    others = [category for category in spec.gate.no_regression if category not in target]
    tolerance = max(LEAST_TOLERANCE, math.ceil(100 * TOLERATED / min(cases.values())) / 100)
    gate = spec.gate.model_copy(
        update={"target": target, "no_regression": others, "tolerance": tolerance, "evidence": "mean"}
    )
    return spec.model_copy(update={"train": train, "gate": gate, "retry": RetrySpec(max_attempts=1)})


def _coat(work: Work, number: int) -> Figures:
    """Run the phase."""
    name = f"coat{number}"
    ran = topcoat(work, lineage(work), "run", name, "--json", name=name, codes=PROMOTED_OR_NOT)
    found = json.loads(ran.printed)
    return {"promoted": found["promoted"], **figures_of(work, found["attempts"][-1]), **ran.spent}


def figures_of(work: Work, attempt: Mapping[str, Any]) -> Figures:
    """What an attempt showed: its own figures, and scores by both checkers."""
    figures = attempt_figures(attempt)
    after = attempt["after"]
    if after:
        figures["scores"] = both(work, read_lines(lineage(work) / SUITE), after["scores"])
        figures["evaluation_seconds"] = round(after["seconds"], 1)
    return figures


def attempt_figures(attempt: Mapping[str, Any]) -> Figures:
    """The figures of an attempt's training and fusing, and why it was discarded, if it was."""
    train, fuse = (attempt[part] or {} for part in ("train", "fuse"))
    modules = fuse.get("modules", [])
    figures: Figures = {
        "model": attempt["model"],
        "reasons": [attempt["verdict"]["failure"]] if attempt["verdict"]["failure"] else _missed(attempt["verdict"]),
        "learning_rate": attempt["learning_rate"],
    }
    if train:
        figures["train"] = {
            "updates": len(train["steps"]),
            "seconds": round(train["seconds"], 1),
            "trunk_seconds": round(train["trunk_seconds"], 1),
            "trained_tokens": train["trained_tokens"],
            "peak_memory": train["peak_memory"],
            "losses": [round(validation["loss"], 4) for validation in train["validations"]],
        }
    if fuse:
        figures["fuse"] = {
            "survival": min((module["survival"] for module in modules), default=1.0),
            "median_survival": median([module["survival"] for module in modules] or [1.0]),
            "kl": fuse["kl"],
            "bits": fuse["bits_per_weight"],
            "module_bits": dict(Counter(str(module["bits"]) for module in modules)),
            "size": fuse["size"],
            "delta": median([one["delta_rms"] / one["weight_rms"] for one in modules if one["weight_rms"]] or [0.0]),
        }
    return figures


def _missed(verdict: Mapping[str, Any]) -> list[str]:
    return [check["reason"] for check in verdict["checks"] if not check["passed"]]


def _production(work: Work, number: int) -> Figures:
    """The figures of production before coat `number`: those of the last coat that was promoted, or the root's."""
    promoted = [found for one in range(1, number) if (found := work.found(f"coat{one}"))["promoted"]]
    return promoted[-1] if promoted else work.found("root")


def _numbered(make: Callable[[Work, int], Figures], number: int) -> Callable[[Work], Figures]:
    return functools.partial(_called, make, number)


def _called(make: Callable[[Work, int], Figures], number: int, work: Work) -> Figures:
    return make(work, number)


def _stages() -> tuple[Stage, ...]:
    made: list[Stage] = []
    for number in range(1, MOST_COATS + 1):
        before = f"coat{number - 1}" if number > 1 else "begin"
        made += [
            Stage(f"plan{number}", _numbered(_plan, number), needs=(before,)),
            Stage(f"coat{number}", _numbered(_coat, number), needs=(f"plan{number}",)),
        ]
    return tuple(made)


ROOT = Stage("root", _root, needs=("settings",))
COATS = (Stage("begin", _begin, needs=("root", "examples"), options=("examples", "updates", "seed")), *_stages())

assert set(SILENT) <= set(CATEGORIES)
