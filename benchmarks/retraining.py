"""A phase beside training on all data again from the root, on the embedded project: updates, seconds, scores.

    python benchmarks/retraining.py [--json FILE]

The phase is the embedded one: 80 new examples, and as many replayed rows as new ones. Retraining takes the root's 949
examples and the 80, with the same settings, and sees each as often as the phase sees its new ones. Both run whole, one
after the other, each in a project of its own, so neither finds the other's cache. Takes some 15 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.phases.run import run_phase
from topcoat.progress import Event, Finished, Silent, Started
from topcoat.project.session import open_session
from topcoat.spec.phase import GateSpec, RetrySpec, load_phase
from topcoat.spec.phase_text import phase_text

PHASE, AGAIN = "phase34a", "retraining"
HISTORY = "data/phase33b.jsonl"
Result = dict[str, Any]


class Stopwatch:
    """A sink that takes the time of each kind of task, in `seconds` by its name; of one not finished, nothing."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since: dict[str, float] = {}

    def emit(self, event: Event) -> None:
        if isinstance(event, Started):
            self._since[event.name] = time.perf_counter()
        elif isinstance(event, Finished):
            spent = time.perf_counter() - self._since[event.name]
            self.seconds[event.name] = self.seconds.get(event.name, 0.0) + spent


def write_retraining(project: Path) -> None:
    """The phase that trains on everything: the embedded phase's settings, as many passes, a gate that lets it end."""
    phase = load_phase(project / "phases" / f"{PHASE}.toml")
    files = [HISTORY, *phase.data.train]
    counts = [len((project / name).read_text().splitlines()) for name in files]
    new_rows = phase.train.iters * phase.train.batch_size * (1 - phase.data.replay)
    iters = round(new_rows / counts[-1] * sum(counts) / phase.train.batch_size)
    spec = phase.model_copy(
        update={
            "data": phase.data.model_copy(update={"train": files, "replay": 0.0, "quota": {}}),
            "train": phase.train.model_copy(update={"iters": iters}),
            "gate": GateSpec(no_regression=phase.gate.no_regression, evidence="mean"),
            "retry": RetrySpec(max_attempts=1),
        }
    )
    (project / "phases" / f"{AGAIN}.toml").write_text(phase_text(spec))


def run(name: str, project: Path) -> Result:
    """One phase from start to verdict."""
    shutil.copytree(TEMPLATE, project)
    write_retraining(project)
    watch = Stopwatch()
    with open_session(project, open_engine(Silent()), watch, "benchmark") as session:
        last = run_phase(session, project / "phases" / f"{name}.toml").results[0]
    if last.train is None or last.after is None:
        raise SystemExit(f"{name}: {last.verdict}")
    return {
        "updates": len(last.train.steps),
        "trunk": watch.seconds["trunk"],
        "seconds": watch.seconds["trunk"] + watch.seconds["train"],
        "tokens": last.train.trained_tokens,
        "scores": {score.category: score.mean for score in last.after.categories},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: Result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"}
    print(report["machine"])
    with tempfile.TemporaryDirectory() as scratch:
        for name in (PHASE, AGAIN):
            report[name] = result = run(name, Path(scratch) / name)
            print(
                f"{name}: {result['updates']} updates, {result['tokens']} trained tokens, {result['seconds']:.0f} s, "
                f"{result['trunk']:.0f} of them the trunk's; "
                + ", ".join(f"{category} {100 * mean:.1f}" for category, mean in result["scores"].items()),
                flush=True,
            )
    print(f"retraining takes {report[AGAIN]['seconds'] / report[PHASE]['seconds']:.1f} times as long")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
