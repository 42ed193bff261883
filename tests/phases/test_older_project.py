"""A project that version 0.1 wrote is opened, shown and carried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.fake_project import Counting, opened, run
from tests.support.older_project import PROJECT
from topcoat.phases.history import project_status
from topcoat.project.project import open_project
from topcoat.usage.importing import open_log


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


def test_its_status_is_shown(project: Path) -> None:
    with open_project(project) as read:
        status = project_status(read)
    assert (status.project, status.production) == ("older", "phase1-1")
    assert [(phase.name, phase.outcome, phase.attempts) for phase in status.phases] == [
        ("phase1", "promoted", 1),
        ("phase2", "unfinished", 1),
    ]
    assert [[category.category for category in model.categories] for model in status.models] == [
        ["files", "folders"],
        ["files", "folders"],
    ]


def test_its_finished_phase_stands(project: Path) -> None:
    engine = Counting()
    outcome = run(project, engine, name="phase1")
    assert (outcome.already, outcome.promoted, engine.done) == (True, True, [])


def test_its_phase_that_was_killed_goes_on_without_training_again(project: Path) -> None:
    engine = Counting()
    outcome = run(project, engine, name="phase2")
    assert (outcome.already, outcome.promoted) == (False, True)
    assert "train" not in engine.done
    with opened(project) as session:
        assert session.lineage.production() == "phase2-1"


def test_its_events_are_read_and_known_again(project: Path) -> None:
    with open_log(project) as log:
        events = list(log.events())
        assert [event.kind for event in events] == ["request", "merged"]
        assert log.add(events) == 0  # their ids are made as they were
