"""The embedded project around the fake engine: its phase files, and ways to open and run it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import FuseJob, TrainJob, Verified, VerifyJob
from topcoat.phases.run import PhaseOutcome, run_phase
from topcoat.progress import Sink
from topcoat.project.session import Session, open_session
from topcoat.store.records import FuseReport, TrainReport

__all__ = ["Counting", "ask_for_tools_alone", "opened", "production", "run", "without_reserve", "write_phase"]


@contextmanager
def opened(project: Path, engine: FakeEngine | None = None, sink: Sink | None = None) -> Iterator[Session]:
    with open_session(project, engine or FakeEngine(), sink or Recorder(), "test") as session:
        yield session


def run(project: Path, engine: FakeEngine | None = None, name: str = "phase34a", **options: object) -> PhaseOutcome:
    with opened(project, engine) as session:
        return run_phase(session, project / "phases" / f"{name}.toml", **options)  # type: ignore[arg-type]


def production(project: Path) -> str | None:
    with opened(project) as session:
        return session.lineage.production()


class Counting(FakeEngine):
    """Counts what it was asked to do, and is killed before the given step."""

    def __init__(self, kill_before: str = "") -> None:
        self.done: list[str] = []
        self.kill_before = kill_before

    def _step(self, name: str) -> None:
        if name == self.kill_before:
            raise KeyboardInterrupt
        self.done.append(name)

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        self._step("train")
        return super().train(job, sink)

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        self._step("fuse")
        return super().fuse(job, sink)

    def generate(self, job, sink, *told):  # type: ignore[no-untyped-def]
        self._step("generate")
        return super().generate(job, sink, *told)

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        self._step("verify")
        return super().verify(job, sink)


def ask_for_tools_alone(suite: Path) -> None:
    """Leave the expected arguments of the embedded suite out, so that no answer is executed."""
    cases = [json.loads(line) for line in suite.read_text().splitlines()]
    for case in cases:
        case["scorer"] = "calls" if case["category"] == "multi_tool" else "tiered"
        for call in case["expect"]["calls"]:
            call.pop("args", None)
    suite.write_text("".join(json.dumps(case) + "\n" for case in cases))


def without_reserve(project: Path) -> None:
    """Leave the suite's reserve cases out."""
    suite = project / "suites" / "routing.jsonl"
    lines = suite.read_text().splitlines(keepends=True)
    suite.write_text("".join(line for line in lines if not json.loads(line).get("reserve")))


def write_phase(project: Path, name: str = "phase34a", **changes: object) -> Path:
    """A phase file of the fake project; `changes` replace keys written with a double underscore: train__iters=8."""
    tables: dict[str, dict[str, object]] = {
        "data": {"train": ["data/phase34a.jsonl"], "replay": 0.5},
        "train": {"iters": 40, "batch_size": 4, "learning_rate": 1e-3, "grad_accumulation_steps": 1},
        "gate": {"no_regression": ["domain"], "evidence": "mean"},
        "gate.target": {"domain": 0.6},
        "retry": {"max_attempts": 3},
    }
    for key, value in changes.items():
        table, _, name_of_key = key.rpartition("__")
        tables.setdefault(table.replace("__", "."), {})[name_of_key] = value
    text = "".join(
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for table, keys in tables.items()
    )
    path = project / "phases" / f"{name}.toml"
    path.write_text(text)
    return path
