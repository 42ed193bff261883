"""What a command writes for those who follow it, and how that is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run
from tests.support.recorder import Recorder
from topcoat.progress import Note, task
from topcoat.project import following
from topcoat.project.following import follow, followed
from topcoat.store.paths import ProjectPaths


@pytest.fixture(autouse=True)
def every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_EVERY", 0.0)


def test_what_is_written_is_read_and_passed_on(tmp_path: Path) -> None:
    path, sink = tmp_path / "progress.jsonl", Recorder()
    with followed(sink, path, "topcoat run p") as shown:
        shown.emit(Note("begun", warning=True))
        with task(shown, "train", total=4, unit="update", done=1) as running:
            running.advance(2, "loss 0.900, valid 1.250")
            running.advance(3, "loss 0.800, valid 1.250")
            found = follow(path)
            assert found is not None
            assert (found.command, found.running, found.over) == ("topcoat run p", True, None)
            assert found.losses == [(2.0, 0.9), (3.0, 0.8)]
            assert found.validations == [(2.0, 1.25)]
            assert (found.tasks[0].done, found.tasks[0].total, found.tasks[0].over) == (3, 4, False)
            left = found.tasks[0].seconds_left
            assert left is not None
            assert left == pytest.approx((found.tasks[0].latest - found.tasks[0].began) / 2)
    found = follow(path)
    assert found is not None
    assert (found.running, found.over, found.notes) == (False, "", [("begun", True)])
    assert (found.tasks[0].done, found.tasks[0].over, found.tasks[0].seconds_left) == (4, True, None)
    assert len(sink.events) == 5


def test_a_run_of_a_phase_can_be_followed_afterwards(fake_project: Path) -> None:
    run(fake_project)
    found = follow(ProjectPaths(fake_project).progress)
    assert found is not None
    assert found.over == ""
    assert {"train", "fuse", "answers"} <= {task.name for task in found.tasks}
    assert found.losses


def test_the_end_says_why_a_command_failed(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    with pytest.raises(ValueError, match="broken"), followed(Recorder(), path, "topcoat run p"):
        raise ValueError("broken")
    found = follow(path)
    assert found is not None
    assert found.over == "broken"


def test_half_a_line_and_what_is_no_event_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    assert follow(path) is None
    began = json.dumps({"at": 1.0, "began": "topcoat run p", "pid": 2**22 + 1})
    path.write_text(
        f'{began}\nno json\n[1]\n{{"at": 2.0, "task": "unknown", "done": 1, "detail": ""}}\n{{"at": 3.0, "ta'
    )
    found = follow(path)
    assert found is not None
    assert (found.tasks, found.running, found.over) == ([], False, None)


def test_a_place_that_cannot_be_written_is_said_and_stops_nothing(tmp_path: Path) -> None:
    sink = Recorder()
    with followed(sink, tmp_path, "topcoat run p") as shown:  # a folder
        shown.emit(Note("on"))
    assert [event.text for event in sink.events if isinstance(event, Note)][-1] == "on"
    assert "can't be followed" in str(sink.events[0])


def test_only_what_holds_the_project_writes(fake_project: Path) -> None:
    path = ProjectPaths(fake_project).progress
    with opened(fake_project):
        before = path.read_text()
        with pytest.raises(Exception, match="another topcoat"), opened(fake_project):
            pass
        assert path.read_text() == before
