from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.fake_project import write_phase
from tests.support.recorder import Recorder
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import TrainJob
from topcoat.phases.estimation import UPDATES, estimate
from topcoat.phases.preparation import prepare
from topcoat.phases.trials import train_trials
from topcoat.progress import Silent, Sink
from topcoat.project.session import open_session
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import TrainReport, TrainStep


class Slow(FakeEngine):
    """Says that a token takes a millisecond, and counts its jobs."""

    def __init__(self) -> None:
        self.jobs: list[TrainJob] = []

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        self.jobs.append(job)
        report = super().train(job, sink)
        steps = [_timed(step, job) for step in report.steps]
        return report.model_copy(update={"steps": steps, "peak_memory": 1000})


def _timed(step: TrainStep, job: TrainJob) -> TrainStep:
    tokens = sum(len(job.rows[row].tokens) for row in job.batches[step.update - 1])
    return step.model_copy(update={"seconds": tokens / 1000})


def test_an_estimate_is_measured_once_and_follows_the_tokens(fake_project: Path) -> None:
    path, engine = write_phase(fake_project, data__valid="data/phase34a-valid.jsonl"), Slow()
    with open_session(fake_project, engine, Recorder(), "test") as session:
        prepared = prepare(session, path)
        first = estimate(session, prepared)
        assert estimate(session, prepared) == first
    (job,) = engine.jobs
    assert len(job.batches) == UPDATES
    assert not job.folder.exists()
    rows = [prepared.rows[row] for batch in prepared.batches[0] for row in batch]
    trained = sum(len(row.tokens) for row in rows) / 1000
    validated = sum(len(row.tokens) for row in prepared.valid) / 1000
    assert trained < first.seconds < trained + validated + 1
    assert (first.memory, first.evaluation_seconds) == (1000, None)


def test_a_phase_that_does_not_fit_is_told_from_one_that_does(fake_project: Path) -> None:
    path = write_phase(fake_project)
    for limit, fits in ((None, True), (1000, True), (999, False)):
        engine = Slow()
        engine.memory_limit = limit
        with open_session(fake_project, engine, Silent(), "test") as session:
            assert estimate(session, prepare(session, path)).fits == fits


@pytest.mark.slow
@pytest.mark.parametrize("which", ["engine", "stored_engine"])
def test_memory_and_disk_are_as_estimated(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    engine: MlxEngine = request.getfixturevalue(which)
    project = tmp_path / "demo"
    shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("__pycache__"))
    path = project / "phases" / "phase34a.toml"
    path.write_text(path.read_text().replace("iters = 200 ", "iters = 24 "))
    with open_session(project, engine, Silent(), "test") as session:
        prepared = prepare(session, path)
        expected = estimate(session, prepared)
        base = session.model("production").path
        report = train_trials(session, prepared, base, [4e-4], AttemptPaths(tmp_path / "run"), {})
        folders = tmp_path / "run", session.paths.trunk_cache, base
        written = sum(
            file.stat().st_size for folder in folders for file in folder.rglob("*") if file.suffix == ".safetensors"
        )
    assert expected.memory == pytest.approx(report.peak_memory, rel=0.15)
    assert expected.disk == pytest.approx(written, rel=0.1)
