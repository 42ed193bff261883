"""ToolACE's calls and functions become structured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from topcoat.examples.formats.json_texts import Said, Untranslatable
from topcoat.examples.formats.toolace import calls_like_toolace, structured

TOOLS = json.dumps([{"name": "Get Time", "parameters": {"type": "dict", "properties": {}}, "required": None}])


def answer(text: str, system: str = f"It is [late].Here is a list: {TOOLS}") -> dict[str, Any]:
    turns = [{"role": "system", "content": system}, {"role": "user", "content": "a"}]
    turn: dict[str, Any] = structured(
        {"messages": [*turns, {"role": "assistant", "content": text}]}, Said()
    )["messages"][-1]  # fmt: skip
    return turn


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("[Get Time()]", [("Get Time", {})]),
        ('[geo.find/v2(name="O\'Hara", from=[1, -2.5], deep={"a": (1, 2)}), Get Time( zone = None )]',
         [("geo.find/v2", {"name": "O'Hara", "from": [1, -2.5], "deep": {"a": [1, 2]}}), ("Get Time", {"zone": None})]),
    ],
)  # fmt: skip
def test_calls(text: str, called: list[tuple[str, dict[str, Any]]]) -> None:
    turn = answer(f" {text}\n")
    assert turn["content"] is None
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in turn["tool_calls"]] == called


@pytest.mark.parametrize("text", ["It is ten.", "[sic]", "Use [Other(x)] (or not)", "[1, 2, (3)]", ""])
def test_words_stay_words(text: str) -> None:
    assert answer(text) == {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[Get Time(zone=UTC)]', "turn 3: a call that can't be read near '.*zone=UTC"),
        ("[Get Time(1)]", "can't be read"),
        ("[Get Time(a=f())]", "can't be read"),
        ("[Get Time()] and [Get Time()]", "turn 3: words after a call"),
        ("I call [Get Time()].", "turn 3: a call of Get Time among other words"),
    ],
)  # fmt: skip
def test_a_call_that_can_t_be_read_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        answer(text)


def test_functions_that_are_no_json_are_refused() -> None:
    with pytest.raises(Untranslatable, match="the list of functions is not JSON"):
        answer("a", 'Here: [{"name": "f", "parameters": }]')


def test_a_system_prompt_without_functions_stays() -> None:
    data = {"messages": [{"role": "system", "content": 'Put it in the format of [{"a": 1}].'}]}
    assert structured(data, Said()) == data


@pytest.mark.parametrize(("text", "like"), [("[f(a=1)]", True), ("[f(a=1)", False), ("[(1)]", False), ("f(1)", False)])
def test_calls_are_told_from_words(text: str, like: bool) -> None:
    assert calls_like_toolace(text) is like
