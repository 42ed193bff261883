from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_project import opened, without_reserve, write_phase
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import Ended, GenerateJob, Verified, VerifyJob, ignore
from topcoat.phases.drawing import CHOOSING
from topcoat.phases.run import PhaseOutcome, run_phase
from topcoat.progress import Note, Sink
from topcoat.store.records import Completion, EvalResult

GUARDED = {
    "gate__evidence": "tested",
    "gate__no_regression": ["git", "text_tools"],
    "gate__target__domain": 0.01,
    "guard__cases": 90,
    "guard__most": 90,
    "retry__max_attempts": 1,
}


class Asked(FakeEngine):
    """Keeps how many questions were generated and verified, and what the job named as base."""

    def __init__(self, *, kill: bool = False) -> None:
        self.generated: list[tuple[str, int]] = []
        self.verified: list[tuple[str, int, Path | None]] = []
        self._kill = kill

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        self.generated.append((job.model.name, len(job.prompts)))
        return super().generate(job, sink, ended)

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        if self._kill and job.base:
            raise KeyboardInterrupt
        self.verified.append((job.model.name, len(job.prompts), job.base))
        return super().verify(job, sink)


def guarded(project: Path, engine: FakeEngine, sink: Sink) -> PhaseOutcome:
    with opened(project, engine, sink) as session:
        return run_phase(session, project / "phases" / "phase34a.toml")


@pytest.fixture
def guarded_project(fake_project: Path) -> Path:
    without_reserve(fake_project)
    write_phase(fake_project, **GUARDED)  # type: ignore[arg-type]
    return fake_project


@pytest.mark.slow
def test_guard_cases_decide_what_fell_and_are_verified_from_the_base_s_answers(guarded_project: Path) -> None:
    engine, sink = Asked(), Recorder()
    outcome = guarded(guarded_project, engine, sink)
    verdict = outcome.last.verdict
    found = {one.category: one for one in verdict.guard}
    assert set(found) == {"git", "text_tools", "domain"}
    assert all(one.cases == 90 for one in found.values())
    assert all(one.kl is not None and one.log_probability is not None for one in found.values())
    assert found["domain"].target == 0.01
    decided = {check.category: check.decision for check in verdict.checks}
    assert decided["git"] == found["git"].decision
    suite = len(outcome.last.before.scores)
    reworded = [("phase33b", 8)]  # the first eight, in vain: the fake model calls tools, whatever is said
    assert engine.generated == [("phase33b", suite), ("phase33b", 3 * CHOOSING), *reworded, ("phase33b", 270)]
    assert [(model, count) for model, count, _ in engine.verified] == [("phase34a-1", 270), ("phase34a-1", suite)]
    notes = [e.text for e in sink.events if isinstance(e, Note)]
    assert any("the base said 0 of 60 guard cases in other words; 8 left out: " in text for text in notes)
    assert any("look 1 of 1: 270 guard cases" in text for text in notes)


@pytest.mark.slow
def test_a_killed_guard_asks_the_base_nothing_again_and_finds_the_same(guarded_project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        guarded(guarded_project, Asked(kill=True), Recorder())
    again = Asked()
    resumed = guarded(guarded_project, again, Recorder())
    assert again.generated == []
    assert {one.category: one.cases for one in resumed.last.verdict.guard} == {
        "git": 90,
        "text_tools": 90,
        "domain": 90,
    }


@pytest.mark.slow
def test_guard_cases_are_in_no_stored_evaluation_of_the_suite(guarded_project: Path) -> None:
    outcome = guarded(guarded_project, Asked(), Recorder())
    after = outcome.last.after
    assert isinstance(after, EvalResult)
    assert len(after.scores) == len(outcome.last.before.scores)


def test_a_phase_that_compares_means_draws_nothing(fake_project: Path) -> None:
    without_reserve(fake_project)
    write_phase(fake_project, **(GUARDED | {"gate__evidence": "mean"}))  # type: ignore[arg-type]
    engine = Asked()
    assert guarded(fake_project, engine, Recorder()).last.verdict.guard == []
    assert len(engine.generated) == 1


def test_without_guard_cases_the_means_decide_and_it_is_said(fake_project: Path) -> None:
    write_phase(fake_project, **(GUARDED | {"guard__cases": 0, "guard__most": 0}))  # type: ignore[arg-type]
    verdict = guarded(fake_project, Asked(), Recorder()).last.verdict
    assert verdict.guard == []
    assert all("by the mean: " in check.reason for check in verdict.checks)
