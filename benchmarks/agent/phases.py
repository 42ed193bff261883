"""The two phases: the agent's 33b on its own data, and 34a on eighty targeted examples."""

from __future__ import annotations

import functools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.agent.project import SUITE, project, suite_rows
from benchmarks.agent.scores import changes, scores_of
from benchmarks.agent.tools import CATEGORIES, NO_TOOL
from benchmarks.real.commands import PROMOTED_OR_NOT, Ran, topcoat
from benchmarks.real.runs.coats import attempt_figures
from benchmarks.real.stages import Figures, Impossible, Stage, Work
from topcoat.spec.phase import DataSpec, GateSpec, PhaseSpec, RetrySpec, load_phase
from topcoat.spec.phase_text import phase_text
from topcoat.store.files import write_json, write_text

__all__ = ["CRITERION", "LAYERS", "PHASES", "lineage", "phase", "updates_of"]

CRITERION: Mapping[str, float] = {"domain": 0.80, "multi_tool": 0.60}
"""What the agent's phase 34a set out to reach, with no regression elsewhere."""
LAYERS = 10
"""The adapted layers, of the model's 30."""
ROWS = 4
"""The rows of an update: 300 updates see the agent's 1,159 dialogues once."""
TARGETED_SHARE = 0.4
"""Phase 34a has so many updates for each of phase 33b's."""


def lineage(work: Work) -> Path:
    """The project of the phases: a copy of the one that was made, with the root's scores."""
    return work.folder / "lineage"


def updates_of(work: Work, name: str) -> int:
    """The optimizer's updates of a phase."""
    return work.options.updates if name == "phase33b" else max(1, round(TARGETED_SHARE * work.options.updates))


def phase(name: str, planned: PhaseSpec, updates: int, cases: Mapping[str, int]) -> PhaseSpec:
    """The phase with the plan's recipe, its own data and gate, and so many updates.

    The gate compares means on the suite, and lets one case of a category fall. Phase 33b teaches the agent's format to
    a model that has never seen it, so nothing that calls tools may fall; that it goes on to answer without a tool is
    asked of phase 34a. `cases` is their number by category.
    """
    train = planned.train.model_copy(
        update={
            "iters": updates * ROWS,
            "grad_accumulation_steps": ROWS,
            "num_layers": LAYERS,
            "warmup": updates // 10,
            "steps_per_eval": max(1, updates // 4) * ROWS,
            "save_every": max(1, updates // 6) * ROWS,
        }
    )
    first = name == "phase33b"
    target = {} if first else dict(CRITERION)
    others = [category for category in CATEGORIES if category not in target and not (first and category == NO_TOOL)]
    return PhaseSpec(
        data=DataSpec(
            train=[f"data/{name}.jsonl"],
            valid="data/phase33b-valid.jsonl" if first else "10%",
            replay=0.0 if first else 0.5,
        ),
        train=train,
        fuse=planned.fuse,
        gate=GateSpec(
            target=target,
            no_regression=others,
            tolerance=math.ceil(100 / min(cases.values())) / 100,
            evidence="mean",
        ),
        retry=RetrySpec(max_attempts=1),
    )


def _root(work: Work) -> Figures:
    shutil.rmtree(project(work) / ".topcoat", ignore_errors=True)
    ran = topcoat(work, project(work), "eval", "--json", name="root")
    return {**_measured(work, "root", json.loads(ran.printed)), **ran.spent}


def _measured(work: Work, name: str, evaluation: Mapping[str, Any]) -> Figures:
    """The scores of an evaluation, which is kept as it is in WORK/evaluations."""
    write_json(_kept(work, name), dict(evaluation))
    return {
        "scores": scores_of(project(work), evaluation),
        "evaluation_seconds": round(evaluation["seconds"], 1),
        "generated_tokens": evaluation["generated_tokens"],
    }


def _kept(work: Work, name: str) -> Path:
    return work.folder / "evaluations" / f"{name}.json"


def _begin(work: Work) -> Figures:
    """A project for the phases."""
    shutil.rmtree(lineage(work), ignore_errors=True)
    shutil.copytree(project(work), lineage(work))
    return {}


def _plan(name: str, work: Work) -> Figures:
    """What `topcoat plan` calls weak, the phase with its recipe, and what `topcoat check` says of the data."""
    if name == "phase34a" and not work.found("phase33b")["promoted"]:
        raise Impossible("phase 33b was discarded, so phase 34a has nothing to build on")
    weak = json.loads(_said(work, "plan", "--json", name=f"weak-{name}").printed)["needs"]
    path = lineage(work) / "phases" / f"{name}.toml"
    path.unlink(missing_ok=True)
    targets = [word for category in CRITERION for word in ("--target", category)]
    _said(work, "plan", "--write", path, *targets, "--json", name=f"plan-{name}")
    cases = Counter(row["category"] for row in suite_rows(lineage(work), SUITE))
    planned = load_phase(path)
    seeded = planned.model_copy(update={"train": planned.train.model_copy(update={"seed": work.options.seed})})
    write_text(path, phase_text(phase(name, seeded, updates_of(work, name), cases)))
    report = json.loads(_said(work, "check", name, "--no-measure", "--json", name=f"check-{name}").printed)
    return {
        "weak": {need["category"]: need["mean"] for need in weak},
        "findings": dict(Counter(f"{found['severity']} {found['code']}" for found in report["findings"])),
        "budget": report["budget"],
        "rank": planned.train.lora.rank,
        "learning_rate": planned.train.learning_rates[0],
        "planned_layers": planned.train.num_layers,
    }


def _phase(name: str, before: str, work: Work) -> Figures:
    """Run the phase."""
    ran = _said(work, "run", name, "--json", name=name, codes=PROMOTED_OR_NOT)
    found = json.loads(ran.printed)
    attempt = found["attempts"][-1]
    figures = {"promoted": found["promoted"], **attempt_figures(attempt), **ran.spent}
    if not attempt["after"]:
        return figures
    measured = _measured(work, name, attempt["after"])
    earlier = json.loads(_kept(work, before).read_bytes())
    return {**figures, **measured, "changes": changes(earlier, attempt["after"])}


def _said(work: Work, *arguments: str | Path, name: str, codes: tuple[int, ...] = (0,)) -> Ran:
    return topcoat(work, lineage(work), *arguments, name=name, codes=codes)


def _stages() -> tuple[Stage, ...]:
    made: list[Stage] = []
    before, needed = "root", "begin"
    for name in ("phase33b", "phase34a"):
        plan: Callable[[Work], Figures] = functools.partial(_plan, name)
        run: Callable[[Work], Figures] = functools.partial(_phase, name, before)
        made += [Stage(f"plan-{name}", plan, needs=(needed,)), Stage(name, run, needs=(f"plan-{name}",))]
        before = needed = name
    return tuple(made)


PHASES = (
    Stage("root", _root, needs=("suite",)),
    Stage("begin", _begin, needs=("root",), options=("updates", "seed")),
    *_stages(),
)
