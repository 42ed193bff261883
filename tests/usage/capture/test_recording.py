from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import topcoat
from topcoat.usage.capture.recording import stop_recording
from topcoat.usage.log import EventLog


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "topcoat.toml").write_text("")
    monkeypatch.setenv("TOPCOAT_PROJECT", str(tmp_path))
    yield tmp_path
    stop_recording()


def test_what_an_agent_records_is_kept(project: Path) -> None:
    assert topcoat.record("request", session="s", query="hello", answer="hi", branch="fix")
    assert topcoat.record("retry", session="s", original="a", corrected="b", errors=["KeyError"], project=project)
    assert stop_recording().kept == 2
    with EventLog(project / ".topcoat" / "events.db") as log:
        first, second = log.events()
    assert (first.kind, first.source, first.branch, second.corrected) == ("request", "record", "fix", "b")


@pytest.mark.parametrize(
    "wrong", [{"kind": "song"}, {"kind": "request", "unheard": 1}, {"kind": "request", "query": 3}]
)
def test_nothing_is_raised_into_the_agent(
    project: Path, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert topcoat.record(session="s", **wrong) is False
    assert "not recorded" in caplog.text


def test_outside_a_project_nothing_is_raised_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert topcoat.record("request", session="s", project=tmp_path) is False
    assert "topcoat.toml" in caplog.text


def test_a_program_that_ends_at_once_loses_nothing(project: Path) -> None:
    program = "import topcoat\nfor n in range(30): topcoat.record('request', session='s', query=str(n))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    with EventLog(project / ".topcoat" / "events.db") as log:
        assert [event.query for event in log.events()] == [str(n) for n in range(30)]


def test_an_event_that_is_refused_is_not_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not topcoat.record("request", session="s", project=project, calls="sk-swordfish")
    assert "calls: Input should be a valid list" in caplog.text
    assert "swordfish" not in caplog.text
