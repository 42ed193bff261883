"""Training from the root on all data of the promoted coats: what the thin coats save, and what they cost in scores."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

from benchmarks.real.commands import PROMOTED_OR_NOT, topcoat
from benchmarks.real.project import project
from benchmarks.real.runs.coats import coats_of, figures_of, lineage, phase_of
from benchmarks.real.runs.general import measured
from benchmarks.real.stages import Figures, Impossible, Options, Stage, Work
from topcoat.spec.phase import DataSpec, GateSpec, PhaseSpec
from topcoat.spec.phase_text import phase_text
from topcoat.store.files import write_text

__all__ = ["MOST_SEEDS", "again"]

MOST_SEEDS = 5
PHASE = "again"


def from_the_root(first: PhaseSpec, files: list[str], used: float, seed: int) -> PhaseSpec:
    """The first coat's phase, on the data of all coats.

    `used` rows are drawn, as many as the coats drew of their new ones.
    """
    rows = first.train.batch_size * first.train.grad_accumulation_steps
    updates = max(2, round(used / rows))
    train = first.train.model_copy(
        update={
            "iters": updates * first.train.grad_accumulation_steps,
            "warmup": updates // 10,
            "steps_per_eval": max(1, updates // 3) * first.train.grad_accumulation_steps,
            "seed": seed,
        }
    )
    gate = GateSpec(target=dict.fromkeys(first.gate.target, 0.0), evidence="mean")
    return first.model_copy(update={"data": DataSpec(train=files, replay=0.0), "train": train, "gate": gate})


def _again(seed: int, work: Work) -> Figures:
    coats = [number for number in coats_of(work) if work.found(f"coat{number}")["promoted"]]
    if not coats:
        raise Impossible("no coat was promoted, so there is no data to train on from the root")
    folder = work.folder / f"again{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project(work), folder, ignore=shutil.ignore_patterns("pool"))
    files = [f"data/coat{number}.jsonl" for number in coats]
    for name in files:
        shutil.copyfile(lineage(work) / name, folder / name)
    budgets = [work.found(f"plan{number}")["budget"] for number in coats]
    used = sum(budget["passes"] * budget["examples"] for budget in budgets)
    spec = from_the_root(phase_of(work, coats[0]), files, used, seed)
    write_text(folder / "phases" / f"{PHASE}.toml", phase_text(spec))
    ran = topcoat(work, folder, "run", PHASE, "--json", name=f"again{seed}", codes=PROMOTED_OR_NOT)
    figures = figures_of(work, json.loads(ran.printed)["attempts"][-1])
    model: Path = folder / ".topcoat" / "models" / figures["model"]
    return {"coats": coats, **figures, **ran.spent, "general": measured(work, f"again{seed}", model)}


def again(options: Options) -> tuple[Stage, ...]:
    """The trainings of each seed. All coats come before them."""
    return tuple(
        Stage(f"again{seed}", functools.partial(_again, seed), needs=(f"coat{options.coats}",))
        for seed in range(MOST_SEEDS)
    )
