"""`topcoat extract`, `review` and `cycle` as a user meets them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.command import fake, topcoat
from tests.support.fake_project import write_phase
from tests.support.usage.captured import capture
from topcoat.cli import review as screen
from topcoat.cli.review import review_examples
from topcoat.engine.fake import FakeEngine
from topcoat.errors import Refused
from topcoat.progress import Silent
from topcoat.project.session import Session, open_session
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction.extract import extract_examples
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.extraction.review import pending, reviewed


def rows(project: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (project / "data" / "next.jsonl").read_text().splitlines()]


@pytest.fixture
def extracted(fake_project: Path) -> Path:
    capture(fake_project, 12)
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        extract_examples(session, "next", {"domain": 5})
    return fake_project


def reviewing(project: Path, keys: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    pressed = iter(keys)
    monkeypatch.setattr("typer.getchar", lambda: next(pressed))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with open_session(project, FakeEngine(), Silent(), "test") as session:
        return review_examples(session.paths, "next", None)


def test_a_decision_is_kept_and_never_asked_for_again(extracted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(extracted)
    assert reviewing(extracted, "a?rq", monkeypatch) == (2, 3)
    assert rows(extracted) == [before[0], *before[2:]]
    assert reviewing(extracted, "q", monkeypatch) == (0, 3)


def test_what_was_edited_takes_the_place_of_the_example(extracted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shout(path: Path, again: str) -> None:
        path.write_text(path.read_text().replace("views/", "VIEWS/"))

    monkeypatch.setattr(screen, "edit", shout)
    assert reviewing(extracted, "eq", monkeypatch) == (1, 4)
    messages = rows(extracted)[0]["messages"]
    assert isinstance(messages, list)
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert "VIEWS/" in messages[1]["content"]
    assert "VIEWS/" in messages[2]["content"]


def test_structured_calls_survive_an_edit(
    extracted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ProjectPaths(extracted)
    before = rows(extracted)
    call = {
        "id": "call00001",
        "type": "function",
        "function": {"name": "read_file", "arguments": {"path": "views/a.py"}},
    }
    turns = [{"role": "user", "content": "Open views/a.py"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    lines = "".join(json.dumps(row) + "\n" for row in [{**before[0], "messages": turns}, *before[1:]])
    write_owned(paths, [(paths.data("next"), lines)])
    monkeypatch.setattr(screen, "edit", lambda path, again: path.write_text(path.read_text().replace("a.py", "b.py")))
    assert reviewing(extracted, "eq", monkeypatch) == (1, 4)
    assert "=== call read_file" in capsys.readouterr().out
    assert rows(extracted)[0]["messages"] == json.loads(json.dumps(turns).replace("a.py", "b.py"))


def test_without_a_terminal_it_is_refused_and_the_sure_ones_are_accepted(extracted: Path) -> None:
    def review(session: Session, above: float) -> tuple[int, int]:
        return review_examples(session.paths, "next", above)

    with open_session(extracted, FakeEngine(), Silent(), "test") as session:
        with pytest.raises(Refused, match="needs a terminal"):
            review(session, 0.9)
        assert len(pending(session.paths, "next")) == 5
        assert review(session, 0.1) == (5, 0)
        assert len(reviewed(session.paths)) == 5


@pytest.mark.slow
def test_the_commands_say_what_they_did(fake_project: Path) -> None:
    capture(fake_project, 8)
    write_phase(fake_project, "next", data__train=["data/next.jsonl"])
    shown = fake(fake_project, "extract", "--phase", "next")
    assert shown.returncode == 0, shown.stderr
    assert "8 sessions, " in shown.stdout
    assert "data/next.jsonl" in shown.stdout
    done = topcoat("review", "--phase", "next", "--accept-above", "0", "--json", cwd=fake_project)
    assert json.loads(done.stdout)["left"] == 0
    stopped = topcoat("--engine", "fake", "cycle", cwd=fake_project)
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped: too little data" in stopped.stdout
    told = json.loads(topcoat("--engine", "fake", "cycle", "--json", cwd=fake_project).stdout)
    assert told["stopped"].startswith("too little data")
    assert told["extraction"]["sessions"] == 8
    assert "promoted" not in told


@pytest.mark.slow
def test_a_cycle_that_runs_tells_of_its_data_and_its_verdict(fake_project: Path) -> None:
    capture(fake_project, 60)
    done = topcoat("--engine", "fake", "cycle", "--json", cwd=fake_project, timeout=280)
    told = json.loads(done.stdout)
    assert (told["phase"], told["stopped"], told["extraction"]["sessions"]) == ("cycle1", "", 60)
    assert told["promoted"] is (done.returncode == 0)
    assert told["attempts"]
