"""The embedded phase judged on cases that no file of the project has: with new names, and in new wordings.

    python -m benchmarks.unseen WORK [--seeds 3] [--cases 200] [--json FILE]

Runs the phase once for each seed of its training, each in a project of its own. Base and result answer the suite, then
``--cases`` cases a category with names whose words no file has, first in the suite's wordings, then in wordings that
somebody wrote who hadn't read those of the training. Prints the means before and after by category. Started again, it
goes on where it was killed: WORK keeps the projects, and what each seed has found. On two CPU cores a seed takes some
ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
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
from topcoat.store.files import write_text
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import EngineSource

PHASE = "phases/phase34a.toml"
Means = dict[str, float]
"""The mean of each category."""
Result = dict[str, Any]
"""A seed's verdict, number of attempts, and means before and after by set."""


def run_seed(seed: int, project: Path, sets: dict[str, Suite]) -> Result:
    """One phase from start to verdict, and the means on each set: the base's, and its last attempt's.

    What is stored beside the project isn't done again.
    """
    stored = project.with_name(f"{project.name}.json")
    if stored.exists():
        found: Result = json.loads(stored.read_text(encoding="utf-8"))
        return found
    phase = project / PHASE
    if not project.exists():
        make_project(project, seed)
    with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
        outcome = run_phase(session, phase)
        last = outcome.last
        row = session.lineage.latest_phase(phase.stem)
        if last.after is None or row is None:
            raise SystemExit(f"seed {seed}: {last.verdict.failure}")
        before = {"suite": {score.category: score.mean for score in last.before.categories}}
        after = {"suite": {score.category: score.mean for score in last.after.categories}}
        for name, asked in sets.items():
            before[name] = means(session, row.base, asked, project.parent / "base")
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


def table(name: str, results: list[Result]) -> str:
    """A set's means in Markdown: before, and after each seed."""
    heads = [f"seed {result['seed']}" for result in results]
    lines = [f"| {name} | before | {' | '.join(heads)} | mean gain |", f"| --- {'| --- ' * (len(heads) + 2)}|"]
    for category, old in results[0]["before"][name].items():
        new = [result["after"][name][category] for result in results]
        cells = [f"{100 * mean:.1f}" for mean in (old, *new)]
        lines.append(f"| {category} | {' | '.join(cells)} | {100 * (statistics.mean(new) - old):+.1f} |")
    return "\n".join(lines)


def verdicts(results: list[Result]) -> str:
    """In Markdown, each seed's verdict beside its largest fall, in points, in a category of a set of unseen cases."""
    names = [name for name in results[0]["before"] if name != "suite"]
    lines = [f"| seed | verdict | attempts | {' | '.join(names)} |", f"| --- {'| --- ' * (len(names) + 2)}|"]
    for result in results:
        worst = []
        for name in names:
            changes = {key: result["after"][name][key] - old for key, old in result["before"][name].items()}
            category = min(changes, key=lambda key: changes[key])
            worst.append(f"{category} {100 * changes[category]:+.1f}")
        verdict = "promoted" if result["promoted"] else "discarded"
        lines.append(f"| {result['seed']} | {verdict} | {result['attempts']} | {' | '.join(worst)} |")
    return "\n".join(lines)


def main() -> None:
    """Run every seed and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
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
    results: list[Result] = []
    options.work.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        results.append(run_seed(seed, options.work / f"seed-{seed}", suites))
        end = "promoted" if results[-1]["promoted"] else "discarded"
        print(f"seed {seed}: {end} after {results[-1]['attempts']} attempts", flush=True)
    for name in results[0]["before"]:
        print(f"\n{table(name, results)}")
    print(f"\n{verdicts(results)}")
    if options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
        report = {"machine": machine, "cases": options.cases, "seeds": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
