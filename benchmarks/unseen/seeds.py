"""Runs the phase with each seed, and asks what comes out of it."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.phases.run import run_phase
from topcoat.progress import Silent
from topcoat.project.session import Session, open_session
from topcoat.spec.suite import Suite
from topcoat.store.files import write_text
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import EngineSource

__all__ = ["Result", "run_seeds"]

PHASE = "phases/phase34a.toml"
BASE = "phase33b"
Means = dict[str, float]
"""The mean of each category."""
Result = dict[str, Any]
"""A seed's verdict, number of attempts, and means before and after by set."""


def run_seeds(count: int, jobs: int, work: Path, sets: dict[str, Suite]) -> list[Result]:
    """What every seed found, in the order of the seeds. ``jobs`` processes share the seeds and the base's answers."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        base = pool.submit(run_base, work / "base", sets)
        running = [pool.submit(run_seed, seed, work / f"seed-{seed}", sets) for seed in range(count)]
        for future in as_completed(running):
            found = future.result()
            end = "promoted" if found["promoted"] else "discarded"
            print(f"seed {found['seed']}: {end} after {found['attempts']} attempts", flush=True)
        results = [future.result() for future in running]
        return [result | {"before": result["before"] | base.result()} for result in results]


def run_seed(seed: int, project: Path, sets: dict[str, Suite]) -> Result:
    """One phase from start to verdict, and the means of its last attempt on each set, and of both models on the suite.

    What is stored beside the project isn't done again.
    """
    stored = project.with_name(f"{project.name}.json")
    if stored.exists():
        found: Result = json.loads(stored.read_text(encoding="utf-8"))
        return found
    if not project.exists():
        make_project(project, seed)
    with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
        outcome = run_phase(session, project / PHASE)
        last = outcome.last
        if last.after is None:
            raise SystemExit(f"seed {seed}: {last.verdict.failure}")
        before = {"suite": {score.category: score.mean for score in last.before.categories}}
        after = {"suite": {score.category: score.mean for score in last.after.categories}}
        for name, asked in sets.items():
            after[name] = means(session, last.model, asked, project / "unseen")
    result = {
        "seed": seed,
        "promoted": outcome.promoted,
        "attempts": len(outcome.results),
        "before": before,
        "after": after,
    }
    write_text(stored, json.dumps(result))
    return result


def run_base(project: Path, sets: dict[str, Suite]) -> dict[str, Means]:
    """The base's means on each set."""
    if not project.exists():
        make_project(project, 0)
    with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
        return {name: means(session, BASE, asked, project / "unseen") for name, asked in sets.items()}


def make_project(folder: Path, seed: int) -> None:
    """The embedded project, whose phase is trained with `seed`."""
    begun = folder.with_name(f"{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.copytree(TEMPLATE, begun)
    phase = begun / PHASE
    phase.write_text(re.sub(r"(?m)^seed = \d+", f"seed = {seed}", phase.read_text(encoding="utf-8")), encoding="utf-8")
    begun.rename(folder)


def means(session: Session, model: str, asked: Suite, folder: Path) -> Means:
    """A model's mean in every category of a set. `folder` keeps it: what is there isn't asked again."""
    stored = folder / f"{asked.path.name}, {asked.digest[:12]}.json"
    if not stored.exists():
        source = EngineSource(session.engine, session.model(model).path)
        result = evaluate(source, asked, session.agent, Silent(), model)
        folder.mkdir(exist_ok=True)
        write_text(stored, json.dumps({score.category: score.mean for score in result.categories}))
    found: Means = json.loads(stored.read_text(encoding="utf-8"))
    return found
