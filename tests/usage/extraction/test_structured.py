"""Captured native calls become examples with structured calls, which chat templates render as they render requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import parse_tool_list
from topcoat.usage.events import Event
from topcoat.usage.extraction.rules import Candidate, extract
from topcoat.usage.extraction.selection import captured_case
from topcoat.usage.extraction.structured import structured
from topcoat.usage.turns import boundaries, events_of, spoken


def tool(name: str, **properties: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"type": "function", "function": {"name": name, "description": f"{name}.", "parameters": schema}}


WEATHER = tool("weather.get", city="string", days="integer", detailed="boolean")
HOTELS = tool("find-hotel", city="string")
NATIVE = Agent(parse_tool_list(json.dumps([WEATHER, HOTELS]), Path("tools.json")), calls="native")
QUESTION = "What is the weather in Oslo for 3 days?"


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "id": f"c{number}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def answered(*calls: dict[str, Any], words: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": words, "tool_calls": list(calls)}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{number}", "content": text}


def events(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[Event]:
    """The events of a dialogue whose first request brought `tools`."""
    turns = [spoken(message) for message in messages]
    made = events_of(turns, boundaries(turns), session="s")
    return [made[0].model_copy(update={"tools": tools}), *made[1:]]


def only(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None, agent: Agent = NATIVE) -> Candidate:
    (found,) = extract(events(messages, tools), agent).candidates
    return found


DIALOGUE = [
    {"role": "user", "content": QUESTION},
    answered(
        call(1, "weather.get", city="Oslo", days=3, detailed=True), call(2, "find-hotel", city="Oslo"), words="I look."
    ),
    result(1, '{"ok": true, "degrees": 4}'),
    result(2, '{"ok": true, "name": "Bristol"}'),
    {"role": "assistant", "content": "Four degrees."},
]


def test_calls_become_structure_and_results_name_their_call() -> None:
    found = only(DIALOGUE)
    assert structured(found.messages, NATIVE) == [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "call00001",
                    "type": "function",
                    "function": {"name": "weather.get", "arguments": {"city": "Oslo", "days": 3, "detailed": True}},
                },
                {
                    "id": "call00002",
                    "type": "function",
                    "function": {"name": "find-hotel", "arguments": {"city": "Oslo"}},
                },
            ],
        },
    ]


def test_a_result_between_two_steps_is_kept_by_its_shape() -> None:
    again = call(3, "find-hotel", city="Oslo")
    messages = [*DIALOGUE[:1], answered(call(1, "weather.get", city="Oslo", days=3)), DIALOGUE[2], answered(again)]
    turns = structured(only([*messages, result(3, '{"ok": true}')]).messages, NATIVE)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "assistant"]
    assert (turns[2]["tool_call_id"], turns[2]["name"]) == ("call00001", "weather.get")
    assert turns[2]["content"] == "ok: {ok: bool, degrees: int}"
    assert turns[3]["tool_calls"][0]["id"] == "call00002"


def test_a_case_expects_the_first_calls_with_the_values_that_the_question_names() -> None:
    case = captured_case(only(DIALOGUE), "weather", NATIVE)
    assert (case.prompt, case.scorer, case.expect.order, case.tools) == (QUESTION, "calls", "any", None)
    assert [(one.tool, one.args) for one in case.expect.calls] == [
        ("weather.get", {"city": "Oslo", "days": 3}),
        ("find-hotel", {"city": "Oslo"}),
    ]


def test_tools_that_the_client_sent_come_along_unless_they_are_the_catalog_s() -> None:
    assert only(DIALOGUE, [WEATHER, HOTELS]).brings is None
    mine = [WEATHER, HOTELS, tool("other")]
    found = only(DIALOGUE, mine)
    assert found.brings == mine
    assert captured_case(found, "weather", NATIVE).tools == mine


@pytest.mark.parametrize(
    ("tools", "reason"),
    [([HOTELS], "unread"), ([{"type": "function", "function": {}}], "bad-tools"), ([tool("other")], "no-call")],
)
def test_calls_of_tools_that_the_model_was_not_given_are_not_learned(tools: list[dict[str, Any]], reason: str) -> None:
    found = extract(events(DIALOGUE, tools), NATIVE)
    assert found.candidates == []
    assert found.left_out == {reason: 1}


def test_in_code_the_client_s_tools_change_nothing() -> None:
    found = extract(events(DIALOGUE, [HOTELS]), Agent(NATIVE.catalog))
    assert [candidate.brings for candidate in found.candidates] == [None]
