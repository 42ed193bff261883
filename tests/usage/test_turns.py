from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import growth
from topcoat.usage.dialogue import dialogues
from topcoat.usage.events import ToolCall
from topcoat.usage.turns import Spoken, boundaries, events_of, spoken

CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "x.py"}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "read x.py"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"text": "secret contents", "lines": 3}'},
    {"role": "assistant", "content": "Three lines."},
    {"role": "user", "content": [{"type": "text", "text": "thanks"}, {"type": "image_url"}]},
]
PROGRAM = "r = f()\nprint(r.items[0].name, r['n'])"
CODE = f"<tool_call><function=execute_code>\n<parameter=code>\n{PROGRAM}\n</parameter>\n</function></tool_call>"


def turns(messages: list[dict[str, Any]]) -> list[Spoken]:
    return [spoken(message) for message in messages]


def test_a_dialogue_becomes_events_without_what_tools_returned() -> None:
    events = events_of(turns(MESSAGES), boundaries(turns(MESSAGES)), session="s")
    assert [e.kind for e in events] == ["request", "tool_call", "request", "request"]
    first, tool, answer, last = events
    assert (first.system, first.query, first.answer, first.calls[0].name) == (
        "You help.",
        "read x.py",
        None,
        "read_file",
    )
    assert (tool.tool, tool.arguments, tool.call_id) == ("read_file", {"path": "x.py"}, "c1")
    assert tool.result is not None
    assert (tool.result.success, tool.result.shape) == (True, "{text: str, lines: int}")
    assert (answer.query, answer.answer) == (None, "Three lines.")
    assert (last.query, last.answer) == ("thanks[image_url]", None)
    assert "secret contents" not in "".join(e.model_dump_json() for e in events)
    assert [e.before for e in events[1:]] == [e.after for e in events[:-1]]


def test_what_is_known_is_not_kept_again() -> None:
    whole = events_of(turns(MESSAGES), boundaries(turns(MESSAGES)), session="s")
    parts = [
        *events_of(turns(MESSAGES[:3]), boundaries(turns(MESSAGES[:3])), session="s"),
        *events_of(turns(MESSAGES), boundaries(turns(MESSAGES)), 3, session="s"),
    ]
    assert [(e.kind, e.before, e.after, e.tool) for e in parts] == [(e.kind, e.before, e.after, e.tool) for e in whole]


def test_a_result_that_comes_in_a_users_turn_is_a_tools_turn() -> None:
    """As agents send it to models whose chat template knows no tools."""
    said = turns(
        [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": CODE},
            {"role": "user", "content": "<tool_response>\nNameError: f\n</tool_response>\n"},
            {"role": "user", "content": "what does <tool_response>x</tool_response> mean?"},
        ]
    )
    request, tool, last = events_of(said, boundaries(said), session="s")
    assert (request.query, tool.kind, tool.tool, tool.code) == ("go", "tool_call", "execute_code", PROGRAM)
    assert (tool.result is not None and tool.result.success, tool.errors) == (False, ["NameError: f"])
    assert last.query == "what does <tool_response>x</tool_response> mean?"
    several = "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"
    assert spoken({"role": "user", "content": several}) == Spoken("tool", "one\ntwo")


def test_a_program_in_an_answers_text_is_the_call_of_the_tool_turn_after_it() -> None:
    said = turns(
        [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": CODE},
            {"role": "tool", "content": "NameError: f"},
        ]
    )
    event = events_of(said, boundaries(said), session="s")[-1]
    assert (event.tool, event.code) == ("execute_code", PROGRAM)
    assert event.fields_read == ["items", "name", "n"]
    assert (event.result is not None and event.result.success, event.errors) == (False, ["NameError: f"])


def test_results_find_their_calls_by_id() -> None:
    calls = [{"id": str(i), "function": {"name": f"tool{i}", "arguments": "{}"}} for i in range(3)]
    results = [{"role": "tool", "tool_call_id": str(i), "content": "x"} for i in (2, 0, 1)]
    said = turns([{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": calls}, *results])
    assert [event.tool for event in events_of(said, boundaries(said), session="s")[1:]] == ["tool2", "tool0", "tool1"]


@pytest.mark.parametrize("key", ["name", "tool_name"])
def test_results_without_ids_find_their_calls_by_name(key: str) -> None:
    calls = [{"id": n, "function": {"name": n, "arguments": f'{{"of": "{n}"}}'}} for n in ("a", "b", "c")]
    results = [{"role": "tool", key: name, "content": "x"} for name in ("c", "other", "a")]
    last = {"role": "tool", "content": "x"}
    said = turns([{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": calls}, *results, last])
    found = [(event.tool, event.arguments) for event in events_of(said, boundaries(said), session="s")[1:]]
    assert found == [("c", {"of": "c"}), ("other", {}), ("a", {"of": "a"}), ("b", {"of": "b"})]


def test_a_boundary_is_the_same_however_the_client_writes_the_turn() -> None:
    spaced = {
        **MESSAGES[2],
        "content": "",
        "tool_calls": [{**CALL, "id": "other", "function": {"name": "read_file", "arguments": '{"path":"x.py"}'}}],
    }
    assert boundaries(turns([MESSAGES[1], spaced])) == boundaries(turns(MESSAGES[1:3]))
    assert boundaries(turns(MESSAGES[:3]))[1:] == boundaries(turns(MESSAGES[1:3]))
    assert (
        boundaries(turns(MESSAGES[1:4]))[-1]
        != boundaries(turns([*MESSAGES[1:3], {"role": "tool", "content": "y"}]))[-1]
    )


@pytest.mark.parametrize(
    "message", [{"role": "robot"}, {"role": "user", "content": 3}, {"role": "assistant", "tool_calls": [{}]}]
)
def test_what_is_no_message_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"message|call"):
        spoken(message)


ROLES = st.sampled_from(["user", "assistant"])
SAID = st.lists(st.builds(lambda r, t: {"role": r, "content": t}, ROLES, st.text(max_size=9)), min_size=1, max_size=9)


@given(SAID, st.text(max_size=5))
def test_every_text_comes_back_as_it_was_said(messages: list[dict[str, Any]], system: str) -> None:
    messages = [{"role": "system", "content": system}, *messages]
    events = events_of(turns(messages), boundaries(turns(messages)), session="s")
    (dialogue,) = dialogues(events)
    assert [(turn.role, turn.text) for turn in dialogue] == [(m["role"], m["content"]) for m in messages]
    assert json.loads(events[0].model_dump_json())


@pytest.mark.parametrize("piece", [" ", "\n", "</tool_response>", "<tool_response>", "</tool_response> ", "a "])
def test_reading_a_result_is_linear(piece: str) -> None:
    def read(text: str) -> Spoken:
        return spoken({"role": "user", "content": f"<tool_response>{text}x</tool_response>"})

    assert growth(read, piece, 8_000) < 1.5


@pytest.mark.parametrize("named", [True, False])
def test_giving_results_to_their_calls_is_linear(named: bool) -> None:
    def events(text: str) -> object:
        ids = [str(index) if named else "" for index in range(len(text))]
        calls = tuple(ToolCall(name="f", id=call_id) for call_id in ids)
        turns = [Spoken("assistant", "", calls), *(Spoken("tool", "ok", call_id=call_id) for call_id in reversed(ids))]
        return events_of(turns, boundaries(turns), known=len(turns), session="s")

    assert growth(events, "x", 8_000) < 1.5
