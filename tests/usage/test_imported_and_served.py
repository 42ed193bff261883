"""Session files of work that `topcoat serve` captured at the same time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.session_files import ASKED, FAILED, claude_line, claude_session, gemini_session, qwen_session
from topcoat.store.paths import ProjectPaths
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.serving import exchange_events
from topcoat.usage.events import Event
from topcoat.usage.importing import import_events, open_log
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.sessions import Sessions

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST = claude_line("a", None, "user", "Hello")
REPLY = claude_line("b", "a", "assistant", [{"type": "text", "text": "Hi."}], message="b", stop="end_turn")
LATER = [
    claude_line("c", "b", "user", "And now?"),
    claude_line("d", "c", "assistant", [{"type": "text", "text": "Bye."}], message="d", stop="end_turn"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "topcoat.toml").write_text("")
    return tmp_path


def imported(project: Path, *lines: Any) -> tuple[int, int]:
    """How many events of a session's file were new, and how many were known."""
    file = project / "session.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done, mistakes = import_events(project, file)
    assert mistakes == []
    return done.new, done.known


def served(project: Path, *messages: dict[str, Any], answer: dict[str, Any], session: str = "") -> None:
    """Capture an exchange as `topcoat serve` does, with a system prompt that no file has."""
    paths = ProjectPaths(project)
    body = {"messages": [{"role": "system", "content": "You are an agent."}, *messages]}
    response = {"choices": [{"message": answer, "finish_reason": "stop"}]}
    exchange = Exchange(NOON, json.dumps(body).encode(), json.dumps(response).encode(), streamed=False, session=session)
    with open_log(project) as log:
        sessions = Sessions(log.ends(100))
        log.add(exchange_events(exchange, sessions, DialogueDigests(paths.dialogue_key), repository=project))


def serve_hello(project: Path, session: str = "") -> None:
    answer = {"role": "assistant", "content": "Hi."}
    served(project, {"role": "user", "content": "Hello"}, answer=answer, session=session)


def stored(project: Path) -> list[Event]:
    with open_log(project) as log:
        return list(log.events())


@pytest.mark.parametrize("session", ["", "s-1"])
def test_what_was_captured_is_known_and_what_follows_joins_its_session(project: Path, session: str) -> None:
    serve_hello(project, session)
    assert imported(project, FIRST, REPLY) == (0, 1)
    assert imported(project, FIRST, REPLY, *LATER) == (1, 1)
    assert imported(project, FIRST, REPLY, *LATER) == (0, 2)
    first, later = stored(project)
    assert (later.session, later.before, later.query) == (first.session, first.after, "And now?")
    assert session in ("", first.session)


def test_a_dialogue_of_tools_is_known_call_by_call(project: Path) -> None:
    def call(name: str, command: str) -> dict[str, Any]:
        function = {"name": "Bash", "arguments": json.dumps({"command": command})}
        return {"id": name, "type": "function", "function": function}

    calls = [call("t1", "ls /nowhere"), call("t2", "echo hi")]
    made = {"role": "assistant", "content": "I look.", "tool_calls": calls}
    results = [("t2", "hi"), ("t1", f"Exit code 2\n{FAILED}")]
    question = {"role": "user", "content": ASKED}
    told = [{"role": "tool", "tool_call_id": name, "content": content} for name, content in results]
    served(project, question, answer=made, session="s-1")
    served(project, question, made, *told, answer={"role": "assistant", "content": "Nothing."}, session="s-1")
    before = stored(project)
    assert imported(project, *claude_session()) == (0, len(before))


def test_another_answer_to_the_same_question_is_new(project: Path) -> None:
    serve_hello(project)
    other = claude_line("b", "a", "assistant", [{"type": "text", "text": "Hey."}], message="b", stop="end_turn")
    assert imported(project, FIRST, other) == (1, 0)
    assert {event.session for event in stored(project)} > {"s-1"}


def test_a_session_that_was_imported_first_keeps_its_name(project: Path) -> None:
    """Its agent then asks `topcoat serve`, which finds the session by its name or by what was said."""
    assert imported(project, FIRST, REPLY) == (1, 0)
    serve_hello(project, "other")
    assert imported(project, FIRST, REPLY, *LATER) == (1, 1)
    assert [event.session for event in stored(project) if event.query == "And now?"] == ["s-1"]


def test_what_is_served_after_an_import_is_known_to_the_next_one(project: Path) -> None:
    assert imported(project, FIRST, REPLY) == (1, 0)
    said = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    asked = {"role": "user", "content": "And now?"}
    served(project, *said, asked, answer={"role": "assistant", "content": "Bye."}, session="s-1")
    assert imported(project, FIRST, REPLY, *LATER) == (0, 2)
    assert len(stored(project)) == 2


@pytest.mark.parametrize("lines", [qwen_session(), gemini_session()], ids=["qwen", "gemini"])
def test_a_session_of_which_nothing_was_captured_is_imported_whole(project: Path, lines: list[Any]) -> None:
    serve_hello(project)
    new, known = imported(project, *lines)
    assert (new > 1, known) == (True, 0)
