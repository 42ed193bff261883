from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fake_project import write_phase
from tests.support.recorder import Recorder
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import Row, TrainJob
from topcoat.phases import estimation
from topcoat.phases.attempts.trials import train_trials
from topcoat.phases.estimation import UPDATES, estimate
from topcoat.phases.judging.evaluation import evaluate_model
from topcoat.phases.preparation import prepare
from topcoat.progress import Silent, Sink
from topcoat.project.session import open_session
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import TrainReport, TrainStep
from topcoat.suites.evidence.noninferiority import fewest_cases


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
    first_update = [len(job.rows[row].tokens) for row in job.batches[0]]
    assert max(first_update) == max(len(job.rows[row].tokens) for batch in prepared.batches[0] for row in batch)
    assert not job.folder.exists()
    rows = [prepared.rows[row] for batch in prepared.batches[0] for row in batch]
    trained = sum(len(row.tokens) for row in rows) / 1000
    validated = sum(len(row.tokens) for row in prepared.valid) / 1000
    assert first.seconds is not None
    assert trained < first.seconds < trained + validated + 1
    assert (first.memory, first.evaluation_seconds) == (1000, None)


def test_a_phase_that_does_not_fit_is_told_from_one_that_does(fake_project: Path) -> None:
    path = write_phase(fake_project)
    for limit, fits in ((None, True), (1000, True), (999, False)):
        engine = Slow()
        engine.memory_limit = limit
        with open_session(fake_project, engine, Silent(), "test") as session:
            assert estimate(session, prepare(session, path)).fits == fits


class Growing(Slow):
    """Takes 1,000 bytes and, without `grad_checkpoint`, `square` times the square of the longest row; with it, ten a
    token."""

    def __init__(self, square: int, limit: int | None) -> None:
        super().__init__()
        self.square, self.memory_limit = square, limit

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        longest = max(len(job.rows[row].tokens) for batch in job.batches for row in batch)
        more = 10 * longest if job.spec.grad_checkpoint else self.square * longest**2
        return super().train(job, sink).model_copy(update={"peak_memory": 1000 + more})


def long_project(fake_project: Path, monkeypatch: pytest.MonkeyPatch, **train: Any) -> Path:
    monkeypatch.setattr(estimation, "LONG", 64)
    return write_phase(fake_project, **train)


def lengths(job: TrainJob) -> int:
    return max(len(job.rows[row].tokens) for batch in job.batches for row in batch)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_longest_row_is_known_from_its_parts(
    fake_project: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: bool
) -> None:
    path, engine = long_project(fake_project, monkeypatch, train__grad_checkpoint=checkpoint), Growing(2, None)
    with open_session(fake_project, engine, Silent(), "test") as session:
        prepared = prepare(session, path)
        found = estimate(session, prepared)
        assert estimate(session, prepared) == found
    longest = max(len(prepared.rows[row].tokens) for batch in prepared.batches[0] for row in batch)
    assert [(lengths(job), job.spec.grad_checkpoint) for job in engine.jobs] == [
        *((longest // part, recompute) for recompute in (False, True) for part in (8, 4, 2)),
        (longest, checkpoint),
    ]
    assert found.row is not None
    assert found.row.tokens == longest
    assert found.row.measured == ["recomputed" if checkpoint else "kept"]
    assert found.row.kept == pytest.approx(1000 + 2 * longest**2, rel=0.02)
    assert found.row.recomputed == pytest.approx(1000 + 10 * longest, rel=0.02)


def test_a_row_that_would_not_fit_is_not_trained(fake_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, engine = long_project(fake_project, monkeypatch), Growing(2, 20_000)
    with open_session(fake_project, engine, Silent(), "test") as session:
        prepared = prepare(session, path)
        found = estimate(session, prepared)
    longest = max(len(prepared.rows[row].tokens) for batch in prepared.batches[0] for row in batch)
    assert max(lengths(job) for job in engine.jobs) == longest // 2
    assert not found.fits
    assert (found.seconds, found.memory_limit) == (None, 20_000)
    assert found.row is not None
    assert found.memory == found.row.kept
    assert found.row.measured == []


def test_parts_of_a_row_train_what_the_row_trains_at_its_end() -> None:
    row = Row(np.arange(10, dtype=np.int32), np.arange(10) >= 6, 2.0)
    cut = estimation._cut(row, 4)
    assert (cut.tokens.tolist(), cut.trained.tolist(), cut.weight) == ([0, 1, 2, 3], [False, True, True, True], 2.0)
    assert estimation._cut(row, 10) is row


@pytest.mark.slow
@pytest.mark.parametrize("which", ["engine", "stored_engine"])
def test_memory_and_disk_are_as_estimated(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    engine: MlxEngine = request.getfixturevalue(which)
    project = tmp_path / "demo"
    shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("__pycache__"))
    path = project / "phases" / "phase34a.toml"
    path.write_text(path.read_text().replace("iters = 200 ", "iters = 24 ").replace("batch_size = 8", "batch_size = 2"))
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


@pytest.mark.slow
def test_guard_cases_are_counted_and_take_as_long_as_the_suite_s(fake_project: Path) -> None:
    path = write_phase(
        fake_project,
        data__valid="10%",
        gate__evidence="tested",
        gate__no_regression=["git", "text_tools"],
        guard__cases=90,
        guard__most=200,
    )
    with open_session(fake_project, Slow(), Recorder(), "test") as session:
        prepared = prepare(session, path)
        before = estimate(session, prepared)
        result = evaluate_model(session, session.model(prepared.base))
        after = estimate(session, prepared)
    assert before.guard is not None
    assert after.guard is not None
    assert before.guard.drawn == after.guard.drawn == {"domain": 200, "git": 200, "text_tools": 200}
    assert (before.guard.first, before.guard.most, before.guard.needed) == (90, 200, fewest_cases(0.03, 0.05))
    assert before.guard.seconds_each is None
    each = result.seconds / len(result.scores)
    assert each < (after.guard.seconds_each or 0) < 2 * each


def test_a_phase_that_compares_means_asks_no_guard_cases(fake_project: Path) -> None:
    with open_session(fake_project, Slow(), Recorder(), "test") as session:
        assert estimate(session, prepare(session, write_phase(fake_project))).guard is None
