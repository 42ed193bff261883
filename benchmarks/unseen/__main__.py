"""The embedded phase judged on cases that no file of the project has: with new names, and in new wordings.

    python -m benchmarks.unseen WORK [--seeds 3] [--cases 200] [--jobs 1] [--json FILE]

Runs the phase once for each seed of its training, each in a project of its own. Base and result answer the suite, then
``--cases`` cases a category with names whose words no file has, first in the suite's wordings, then in wordings that
somebody wrote who hadn't read those of the training. Prints the means before and after by category. Started again, it
goes on where it was killed: WORK keeps the projects, and what each seed has found. ``--jobs`` seeds run at a time, each
best with a core of its own and OPENBLAS_NUM_THREADS=1. On two CPU cores a seed takes some ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from pathlib import Path

from benchmarks.unseen.cases import cases, new_wordings
from benchmarks.unseen.seeds import Result, run_seeds
from benchmarks.unseen.words import words_seen
from tools.demo_model.suite import wordings_by_tools
from topcoat.spec.suite import Suite


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
    parser.add_argument("--jobs", type=int, default=1)
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
    options.work.mkdir(parents=True, exist_ok=True)
    results = run_seeds(options.seeds, options.jobs, options.work, suites)
    for name in results[0]["before"]:
        print(f"\n{table(name, results)}")
    print(f"\n{verdicts(results)}")
    if options.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
        report = {"machine": machine, "cases": options.cases, "seeds": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
