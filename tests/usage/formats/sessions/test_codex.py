from __future__ import annotations

from typing import Any

import pytest

from tests.support.usage.reading import lines_read
from tests.support.usage.session_files import ASKED, codex_line, codex_session
from topcoat.usage.turns import Spoken, boundaries, events_of


def item(**fields: Any) -> dict[str, Any]:
    return codex_line("response_item", **fields)


def user(text: str) -> dict[str, Any]:
    return item(type="message", role="user", content=[{"type": "input_text", "text": text}])


def call(output: Any, **more: Any) -> list[dict[str, Any]]:
    return [
        item(type="function_call", name="shell", arguments='{"command": ["ls"]}', call_id="c1"),
        item(type="function_call_output", call_id="c1", output=output, **more),
    ]


def test_what_the_program_says_first_is_the_system_prompt() -> None:
    (dialogue,) = lines_read(codex_session())[1]
    system = str(dialogue.turns[0].content)
    assert system.startswith("You code.\n\n<skills>none</skills>\n\n<environment_context>")
    assert [turn.content for turn in dialogue.turns if turn.role == "user"] == [ASKED]


def test_items_alone_are_a_session_of_an_earlier_version() -> None:
    lines = [
        {"id": "s-1", "timestamp": "2026-11-01T10:00:00Z", "instructions": "You code.", "git": {"branch": "lamps"}},
        {"record_type": "state"},
        *(line["payload"] for line in codex_session() if line["type"] == "response_item"),
    ]
    form, (dialogue,), report = lines_read(lines)
    assert (form, dialogue.session, dialogue.branch, report.mistakes) == ("codex", "s-1", "lamps", [])
    assert [turn.role for turn in dialogue.turns][1:] == ["user", "assistant", "tool", "tool", "assistant"]


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ("Exit code: 1\nWall time: 0 seconds\nOutput:\nno", True),
        ("Exit code: 0\nWall time: 0 seconds\nOutput:\nProcess exited with code 1", False),
        ('{"output": "no", "metadata": {"exit_code": 127, "duration_seconds": 0.1}}', True),
        ('{"output": "yes", "metadata": {"exit_code": 0}}', False),
        ({"content": "rejected by user", "success": False}, True),
        ([{"type": "input_text", "text": "Exit code: 3\nOutput:\n"}], True),
        ("on", False),
    ],
)
def test_exit_codes_say_whether_a_command_failed(output: Any, failed: bool) -> None:
    (dialogue,) = lines_read([user("Hello"), *call(output)])[1]
    result = events_of(dialogue.turns, boundaries(dialogue.turns), session="s")[-1].result
    assert result is not None
    assert result.success is not failed


def test_the_programs_own_report_of_a_command_counts_before_its_output() -> None:
    report = codex_line(
        "event_msg", type="item_completed", item={"type": "CommandExecution", "id": "c1", "exit_code": 2}
    )
    (dialogue,) = lines_read([user("Hello"), report, *call("all is well")])[1]
    assert dialogue.turns[-1].failed is True


def test_calls_of_every_kind_are_read() -> None:
    lines = [
        user("Hello"),
        item(type="custom_tool_call", name="apply_patch", input="*** Begin", call_id="c1"),
        item(type="custom_tool_call_output", call_id="c1", output="done"),
        item(type="local_shell_call", action={"type": "exec", "command": ["ls"]}, call_id="c2"),
        item(type="local_shell_call_output", call_id="c2", output="a"),
        item(type="web_search_call", action={"query": "x"}),
    ]
    _, (dialogue,), report = lines_read(lines)
    calls = [call for turn in dialogue.turns for call in turn.calls]
    assert [(call.name, call.meant) for call in calls] == [
        ("apply_patch", {"input": "*** Begin"}),
        ("local_shell", {"type": "exec", "command": ["ls"]}),
    ]
    assert report.passed == {"item of type web_search_call": 1}


def test_a_summary_begins_a_dialogue() -> None:
    lines = [*codex_session(), codex_line("compacted", message="They looked."), user("Go on")]
    first, second = lines_read(lines)[1]
    assert [turn.role for turn in second.turns] == ["system", "user"]
    assert str(second.turns[0].content).endswith("They looked.")
    assert (first.session, second.session) == ("s-1", "s-1")


def test_an_interrupted_answer_is_cut_and_a_rollback_is_another_end() -> None:
    said = item(type="message", role="assistant", content=[{"type": "output_text", "text": "Hi th"}])
    lines = [
        user("Hello"),
        said,
        codex_line("event_msg", type="turn_aborted", reason="interrupted"),
        user("Dog"),
        codex_line("event_msg", type="thread_rolled_back", num_turns=1),
        user("Cat"),
    ]
    found = lines_read(lines)[1]
    cut = Spoken("assistant", "Hi th", finish="cut")
    assert [dialogue.turns for dialogue in found] == [
        [Spoken("user", "Hello"), cut, Spoken("user", "Dog")],
        [Spoken("user", "Hello"), cut, Spoken("user", "Cat")],
    ]
