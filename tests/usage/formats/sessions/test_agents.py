"""The same piece of work in the session's file of each coding agent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.usage.reading import lines_read
from tests.support.usage.session_files import (
    ASKED,
    claude_session,
    codex_session,
    gemini_session,
    opencode_session,
    qwen_session,
)
from topcoat.usage.formats.dialogue import Dialogue
from topcoat.usage.turns import boundaries, events_of

SESSIONS: dict[str, list[Any]] = {
    "claude-code": claude_session(),
    "codex": codex_session(),
    "qwen-code": qwen_session(),
    "gemini-cli": gemini_session(),
    "opencode": [opencode_session()],
}


def read(form: str) -> Dialogue:
    found, dialogues, report = lines_read(SESSIONS[form])
    assert (found, report.mistakes) == (form, [])
    (dialogue,) = dialogues
    return dialogue


@pytest.mark.parametrize("form", SESSIONS)
def test_the_same_work_is_read_from_every_agents_file(form: str) -> None:
    dialogue = read(form)
    turns = [turn for turn in dialogue.turns if turn.role != "system"]
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [turn.content for turn in turns if turn.role != "tool"] == [ASKED, "I look.", "Nothing."]
    assert turns[1].reasoning == "Hm."
    assert [next(iter(call.meant.values())) for call in turns[1].calls] == ["ls /nowhere", "echo hi"]
    assert (dialogue.session, dialogue.model) == ("s-1", "fake-1")
    assert dialogue.branch == ("lamps" if form in ("claude-code", "codex", "qwen-code") else "")


@pytest.mark.parametrize("form", SESSIONS)
def test_a_failed_command_is_a_failed_call_and_the_other_is_not(form: str) -> None:
    turns = read(form).turns
    events = [event for event in events_of(turns, boundaries(turns), session="s") if event.kind == "tool_call"]
    worked = {str(event.arguments.get("command") or event.arguments.get("cmd")): event.result for event in events}
    assert {command: result and result.success for command, result in worked.items()} == {
        "ls /nowhere": False,
        "echo hi": True,
    }


@pytest.mark.parametrize("form", SESSIONS)
def test_turns_have_their_times(form: str) -> None:
    dialogue = read(form)
    assert len(dialogue.times) == len(dialogue.turns)
    times = [time for turn, time in zip(dialogue.turns, dialogue.times, strict=True) if turn.role != "system"]
    assert all(time is not None and (time.year, time.month) == (2026, 11) for time in times)


@pytest.mark.parametrize("form", SESSIONS)
def test_each_line_is_read_or_counted(form: str) -> None:
    """A line that no dialogue needs has a name, and a bad line costs nothing but itself."""
    whole = read(form)
    lines = [*SESSIONS[form], ["no", "line"], "text", {**SESSIONS[form][-1], "message": 3, "payload": 3, "messages": 3}]
    _, dialogues, report = lines_read(lines, form)
    assert dialogues[0].turns[: len(whole.turns)] == whole.turns
    assert len(report.mistakes) + sum(report.passed.values()) >= 3


def test_what_the_programs_wrote_for_themselves_is_passed_over_by_name() -> None:
    assert lines_read(claude_session())[2].passed == {"attachment line": 1}
    assert lines_read(codex_session())[2].passed == {"task_started line": 1, "task_complete line": 1}
    assert lines_read(qwen_session())[2].passed == {"ui_telemetry line": 1}
    assert lines_read(gemini_session())[2].passed == {"line of other figures": 2}
