"""Turns of the flywheel in the embedded project around the fake engine, which learns what it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_project import Counting, opened
from tests.support.usage.captured import capture
from topcoat.usage.extraction.cycle import CycleOutcome, turn_cycle


def turn(project: Path, **options: object) -> CycleOutcome:
    with opened(project) as session:
        return turn_cycle(session, **options)  # type: ignore[arg-type]  # any of its arguments


@pytest.mark.slow
def test_captured_usage_becomes_the_next_model_or_is_discarded(fake_project: Path) -> None:
    capture(fake_project, 60)
    done = turn(fake_project)
    assert (done.phase, done.stopped) == ("cycle1", "")
    assert done.outcome is not None
    checks = done.outcome.last.verdict.checks
    assert {check.category for check in checks if check.kind == "target"} == {"domain"}
    assert (fake_project / "phases" / "cycle1.toml").exists()
    again = turn(fake_project)
    assert again.phase == "cycle2"
    assert "too little data" in again.stopped or again.stopped.startswith("no category")


def test_too_little_data_stops_before_a_phase_is_written(fake_project: Path) -> None:
    capture(fake_project, 5)
    assert turn(fake_project).stopped == "too little data: no weak category has 10 examples"
    assert not (fake_project / "phases" / "cycle1.toml").exists()


@pytest.mark.slow
def test_after_review_and_after_a_kill_it_goes_on_with_the_run(fake_project: Path) -> None:
    capture(fake_project, 60)
    assert turn(fake_project, review=True).stopped.startswith("for review")
    with pytest.raises(KeyboardInterrupt), opened(fake_project, Counting("fuse")) as session:
        turn_cycle(session)
    with opened(fake_project, engine := Counting()) as session:
        assert turn_cycle(session).outcome is not None
    assert "train" not in engine.done[:1]
