from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import write_phase
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import TrainJob
from topcoat.errors import InvalidInput, NumericalFault
from topcoat.phases.run import run_phase
from topcoat.progress import Note, Silent, Sink
from topcoat.project.session import open_session
from topcoat.store.records import TrainReport


class Uneven(FakeEngine):
    """A fake whose validation loss is 0.5 + seed / 10 + rate; seed 9 overflows."""

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        if job.spec.seed == 9:
            raise NumericalFault("update 3: loss nan")
        report = super().train(job, sink)
        return report.model_copy(update={"best_loss": 0.5 + job.spec.seed / 10 + job.learning_rate})


def run(project: Path, sink: Sink | None = None):  # type: ignore[no-untyped-def]  # a helper of these tests
    with open_session(project, Uneven(), sink or Silent(), "test") as session:
        return run_phase(session, project / "phases" / "phase34a.toml")


def test_the_trial_with_the_lowest_validation_loss_goes_on(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=[2e-3, 1e-3], train__seeds=[4, 3, 9])
    sink = Recorder()
    result = run(fake_project, sink).last
    assert result.learning_rate == 1e-3
    trials = result.train.trials
    assert [(t.learning_rate, t.seed) for t in trials if t.chosen] == [(1e-3, 3)]
    assert [t.failure for t in trials if t.seed == 9] == ["update 3: loss nan"] * 2
    folder = fake_project / ".topcoat" / "runs" / "phase34a" / "1"
    own = folder / "trials" / "0.001-3" / "adapter" / "adapter.json"
    assert (folder / "adapter" / "adapter.json").read_bytes() == own.read_bytes()
    assert any("validation losses 0.8010 to 0.9020" in e.text for e in sink.events if isinstance(e, Note))
    assert "Trials" in (fake_project / ".topcoat" / "reports" / "phase34a.html").read_text()


def test_seeds_differ_in_the_order_of_the_data(fake_project: Path) -> None:
    write_phase(fake_project, train__seeds=[1, 2])
    run(fake_project)
    trials = fake_project / ".topcoat" / "runs" / "phase34a" / "1" / "trials"
    tokens = [
        [step["tokens"] for step in json.loads((trials / name / "train.json").read_text())["steps"]]
        for name in ("0.001-1", "0.001-2")
    ]
    assert tokens[0] != tokens[1]


def test_if_every_trial_overflows_the_attempt_is_discarded(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=[2e-3, 1e-3], train__seeds=[9], retry__max_attempts=1)
    outcome = run(fake_project)
    assert not outcome.promoted
    assert "every trial failed" in outcome.last.verdict.failure


def test_trials_need_validation_rows(fake_project: Path) -> None:
    first = json.loads((fake_project / "data" / "phase34a.jsonl").read_text().splitlines()[0])
    first["messages"][1]["content"] += "x" * 5000
    (fake_project / "data" / "long.jsonl").write_text(json.dumps(first) + "\n")
    write_phase(fake_project, train__seeds=[1, 2], data__valid="data/long.jsonl", data__replay=0)
    with pytest.raises(InvalidInput, match="nothing to validate on"):
        run(fake_project)
