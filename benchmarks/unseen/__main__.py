"""The embedded phase judged on cases that no file of the project has: with new names, and in new wordings.

    python -m benchmarks.unseen [--seeds 3] [--cases 200] [--json FILE]

Runs the phase once for each seed of its training, each in a project of its own. Base and result answer the suite, then
``--cases`` cases a category with names whose words no file has, first in the suite's wordings, then in wordings that
somebody wrote who hadn't read those of the training. Prints the means before and after by category. On two CPU cores a
seed takes some ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.unseen.cases import cases, new_wordings
from benchmarks.unseen.words import words_seen
from tools.demo_model.suite import wordings_by_tools
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.phases.run import run_phase
from topcoat.progress import Silent
from topcoat.project.session import Session, open_session
from topcoat.spec.suite import Suite
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import EngineSource

PHASE = "phases/phase34a.toml"
Means = dict[str, float]
"""The mean of each category."""
Result = dict[str, Any]
"""A seed's verdict, number of attempts, and means after by set."""


def run_seed(seed: int, project: Path, sets: dict[str, Suite], before: dict[str, Means]) -> Result:
    """One phase from start to verdict, and the means of its last attempt on each set.

    ``before`` gets the base's means if it is empty.
    """
    shutil.copytree(TEMPLATE, project)
    phase = project / PHASE
    phase.write_text(re.sub(r"(?m)^seed = \d+", f"seed = {seed}", phase.read_text(encoding="utf-8")), encoding="utf-8")
    with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
        base = session.model("production").path
        outcome = run_phase(session, phase)
        last = outcome.last
        if last.after is None:
            raise SystemExit(f"seed {seed}: {last.verdict.failure}")
        if not before:
            before["suite"] = {score.category: score.mean for score in last.before.categories}
            before |= {name: means(session, base, asked) for name, asked in sets.items()}
        after = {"suite": {score.category: score.mean for score in last.after.categories}}
        model = session.model(last.model).path
        after |= {name: means(session, model, asked) for name, asked in sets.items()}
    return {"seed": seed, "promoted": outcome.promoted, "attempts": len(outcome.results), "after": after}


def means(session: Session, folder: Path, asked: Suite) -> Means:
    """A model's mean in every category of a set."""
    result = evaluate(EngineSource(session.engine, folder), asked, session.agent, Silent(), folder.name)
    return {score.category: score.mean for score in result.categories}


def table(name: str, before: Means, results: list[Result]) -> str:
    """A set's means in Markdown: before, and after each seed."""
    heads = [f"seed {result['seed']}" for result in results]
    lines = [f"| {name} | before | {' | '.join(heads)} | mean gain |", f"| --- {'| --- ' * (len(heads) + 2)}|"]
    for category, old in before.items():
        new = [result["after"][name][category] for result in results]
        cells = [f"{100 * mean:.1f}" for mean in (old, *new)]
        lines.append(f"| {category} | {' | '.join(cells)} | {100 * (statistics.mean(new) - old):+.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Run every seed and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if seen := words_seen():
        raise SystemExit(f"these words are not unseen: {', '.join(sorted(seen))}")
    sets = {"new names": wordings_by_tools(), "new wordings": new_wordings()}
    suites = {
        name: Suite(Path(name), tuple(cases(wordings, options.cases, seed=0)))
        for name, wordings in sets.items()
        if wordings
    }
    before: dict[str, Means] = {}
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seeds):
            results.append(run_seed(seed, Path(scratch) / str(seed), suites, before))
            end = "promoted" if results[-1]["promoted"] else "discarded"
            print(f"seed {seed}: {end} after {results[-1]['attempts']} attempts", flush=True)
    for name, means_before in before.items():
        print(f"\n{table(name, means_before, results)}")
    if options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
        report = {"machine": machine, "cases": options.cases, "before": before, "seeds": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
