from __future__ import annotations

from pathlib import Path

import pytest

from topcoat.errors import InvalidInput
from topcoat.flywheel.events import Event
from topcoat.workflow.events import export_events, import_events, open_log, summarize_events


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "topcoat.toml").write_text("")
    return tmp_path


def test_what_is_exported_can_be_imported_elsewhere(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    events = [Event(session="s", kind="request", query=f"question {i}") for i in range(3)]
    with open_log(project) as log:
        log.add(events)
    file = project / "events.jsonl"
    assert export_events(project, file) == 3
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "topcoat.toml").write_text("")
    assert import_events(elsewhere, file)[0].new == 3
    assert import_events(elsewhere, file)[0].known == 3
    with open_log(elsewhere) as log:
        assert list(log.events()) == events


def test_a_garbage_line_is_named_and_the_others_are_kept(project: Path) -> None:
    file = project / "events.jsonl"
    file.write_text(f"{Event(session='s', kind='closed').model_dump_json()}\nnonsense\n")
    done, mistakes = import_events(project, file)
    assert (done.new, [str(mistake.where) for mistake in mistakes]) == (1, [f"{file}:2"])


def test_the_summary_counts_kinds(project: Path) -> None:
    with open_log(project) as log:
        log.add([Event(session="a", kind="request"), Event(session="b", kind="request")])
        log.add([Event(session="b", kind="merged")])
    found = summarize_events(project)
    assert (found.sessions, found.events, found.kinds) == (2, 3, {"request": 2, "merged": 1})


def test_outside_a_project_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no topcoat\.toml"):
        open_log(tmp_path)
