"""Five phases in a row on the embedded model: do the coats stay on?

    python -m benchmarks.five_phases WORK [--series parts] [--seed 0] [--cases 40] [--json FILE]

Copies the embedded project to WORK/SERIES-SEED. The row `parts` divides the two categories that the model does poorly
into five: validators of markup and of services, chains that begin with a position, with changes, with findings. The
row `kinds` leaves them whole and adds three to the suite: tools that are new in the catalog (`files`), requests that no
tool fits (`no_tool`), and chains of three calls (`three`). Then five phases run one after another through `topcoat
run`, each for one category, each on what production then is. Each may fall nowhere else. At last, the base and every
promoted model answer ``--cases`` cases a category that no file of the project has, first in the suite's wordings with
new names, then in new wordings too. Prints all means by phase, and the backward transfer. The seed decides the names
and the order of the data, and the training. Started again, it goes on where it was killed. On two CPU cores it takes
about half an hour.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.five_phases.figures import Means, Step, backward_transfer, kept, matrix, summary
from benchmarks.five_phases.project import SERIES, Aim, make_project, unseen_suites
from topcoat.engine.mlx import open_engine
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.spec.suite import Suite
from topcoat.store.files import write_text
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import EngineSource

Document = dict[str, Any]
BASE = "phase33b"
KEPT = "five_phases"
"""The project's folder of what this benchmark has found."""


def run(project: Path, aim: Aim) -> Step:
    """The phase, run to its verdict by `topcoat run`. A phase that has ended isn't run again."""
    stored = project / KEPT / f"{aim.name}.json"
    if stored.exists():
        return Step(**json.loads(stored.read_text(encoding="utf-8")))
    begun = monotonic()
    command = [sys.executable, "-m", "topcoat", "--project", str(project), "run", aim.name, "--json"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        raise SystemExit(done.returncode)
    said: Document = json.loads(done.stdout)
    minutes = (monotonic() - begun) / 60
    step = Step(aim.name, aim.category, said["promoted"], said["production"], said["attempts"], minutes)
    stored.parent.mkdir(exist_ok=True)
    write_text(stored, json.dumps(dataclasses.asdict(step)))
    return step


def suite_means(steps: Sequence[Step]) -> list[Means]:
    """The suite's means of the base, then of production after each phase."""
    rows = [_means(steps[0].attempts[-1]["before"])]
    for step in steps:
        rows.append(_means(step.attempts[-1]["after"]) if step.promoted else rows[-1])
    return rows


def _means(result: Document) -> Means:
    return {score["category"]: score["mean"] for score in result["categories"]}


def unseen_means(project: Path, models: Sequence[str], suites: dict[str, Suite]) -> dict[str, list[Means]]:
    """By set, the means of every model on cases that no file of the project has. What is stored isn't asked again."""
    rows: dict[str, list[Means]] = {}
    folder = project / KEPT
    folder.mkdir(exist_ok=True)
    with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
        for name, asked in suites.items():
            for model in models:
                stored = folder / f"{model}, {name}, {asked.digest[:12]}.json"
                if not stored.exists():
                    source = EngineSource(session.engine, session.model(model).path)
                    result = evaluate(source, asked, session.agent, Silent(), model)
                    write_text(stored, json.dumps({score.category: score.mean for score in result.categories}))
                rows.setdefault(name, []).append(json.loads(stored.read_text(encoding="utf-8")))
    return rows


def report(steps: Sequence[Step], sets: dict[str, list[Means]]) -> str:
    """All tables."""
    parts = [summary(steps)]
    for name, rows in sets.items():
        transfer = backward_transfer(rows, steps)
        said = "none: fewer than two phases were promoted" if transfer is None else f"{transfer:+.1f} points"
        parts += [matrix(name, rows, steps), f"backward transfer: {said}; other categories: {kept(rows, steps):+.1f}"]
    return "\n\n".join(parts)


def main() -> None:
    """Run what hasn't been run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--series", choices=tuple(SERIES), default="parts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    project = given.work / f"{given.series}-{given.seed}"
    if not project.exists():
        given.work.mkdir(parents=True, exist_ok=True)
        make_project(project, given.series, given.seed)
    steps = []
    for aim in SERIES[given.series]:
        steps.append(run(project, aim))
        print(f"{aim.name}: {'promoted' if steps[-1].promoted else 'discarded'}", file=sys.stderr, flush=True)
    models = [BASE, *(step.model for step in steps)]
    sets = {
        "suite": suite_means(steps),
        **unseen_means(project, models, unseen_suites(project, given.series, given.cases)),
    }
    print(report(steps, sets))
    if given.json:
        document = {"steps": [dataclasses.asdict(step) for step in steps], "means": sets}
        write_text(given.json, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
