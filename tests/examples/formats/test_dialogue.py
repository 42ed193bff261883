"""Turns of every tool become turns of mlx-lm's chat format; nothing that they hold is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from topcoat.examples.formats.dialogue import PROMPT_TWICE, read_dialogue
from topcoat.examples.formats.json_texts import Said, Untranslatable

ASKED = {"role": "user", "content": "a"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
WRITTEN = {"name": "f", "arguments": '{"x": 1}'}
TEXT = json.dumps({"name": "f", "arguments": {"x": 1}})


def turns(*given: dict[str, Any], **beside: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = read_dialogue({"messages": list(given), **beside}, "messages", Said())["messages"]
    return made


def answer(**keys: Any) -> dict[str, Any]:
    return turns(ASKED, {"role": "assistant", **keys})[1]


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        ({"tool_calls": [{"id": "c", "type": "function", "function": WRITTEN, "index": None}]},
         {"content": None, "tool_calls": [{"id": "c", **CALL}]}),
        ({"content": "b", "function_call": WRITTEN}, {"content": "b", "tool_calls": [CALL]}),
        ({"content": "", "tool_calls": None, "refusal": None, "audio": None}, {"content": ""}),
        ({"content": None, "refusal": "no"}, {"content": "no"}),
        ({"content": "b", "refusal": "no"}, {"content": "b", "refusal": "no"}),
        ({"content": [{"type": "text", "text": "b"}, "c"], "weight": 1.0, "reasoning_content": "r"},
         {"content": "bc", "weight": 1, "reasoning_content": "r"}),
        ({"content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "b"},
                      {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}]},
         {"content": "b", "reasoning_content": "t", "tool_calls": [{"id": "c", **CALL}]}),
        ({"content": "b", "loss": False}, {"content": "b", "weight": 0}),
    ],
)  # fmt: skip
def test_an_answer(keys: dict[str, Any], made: dict[str, Any]) -> None:
    assert answer(**keys) == {"role": "assistant", **made}


def test_calls_in_turns_of_their_own_are_one_turn_with_the_words_before_them() -> None:
    call = {"role": "tool_call", "content": TEXT}
    made = turns(ASKED, {"role": "assistant", "content": "<think>t</think>", "weight": 0}, {**call, "loss": False},
                 {**call, "weight": 0}, {"role": "tool_response", "content": "r"},
                 {"role": "function_call", "content": f"<think>u</think>\n[{TEXT}, {TEXT}]"})  # fmt: skip
    assert made[1:] == [
        {"role": "assistant", "content": "<think>t</think>", "tool_calls": [CALL, CALL], "weight": 0},
        {"role": "tool", "content": "r"},
        {"role": "assistant", "content": "<think>u</think>", "tool_calls": [CALL, CALL]},
    ]


def test_a_call_may_quote_its_arguments_as_glaive_does() -> None:
    text = '{"name": "f", "arguments": \'{"x": 1}\'}'
    assert turns(ASKED, {"from": "function-call", "value": text})[1]["tool_calls"] == [CALL]


def test_results_keep_their_call_and_their_name() -> None:
    blocks = [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "r"}], "is_error": True},
              {"type": "tool_result", "tool_use_id": "d"}, {"type": "text", "text": "and?"}]  # fmt: skip
    made = turns(ASKED, {"role": "user", "content": blocks}, {"role": "function", "name": "f", "content": None},
                 {"role": "tool", "tool_call_id": "c", "content": {"ok": True}})  # fmt: skip
    assert made[1:] == [
        {"role": "tool", "tool_call_id": "c", "content": "r", "is_error": True},
        {"role": "tool", "tool_call_id": "d", "content": ""},
        {"role": "user", "content": "and?"},
        {"role": "tool", "name": "f", "content": ""},
        {"role": "tool", "tool_call_id": "c", "content": '{"ok": true}'},
    ]


@pytest.mark.parametrize(
    ("system", "first", "made", "said"),
    [
        ("s", [], ["s", "a"], 0),
        ([{"type": "text", "text": "s"}], [], ["s", "a"], 0),
        ("s", [{"role": "system", "content": "s"}], ["s", "a"], 0),
        ("s", [{"role": "system", "content": "t"}], ["s\n\nt", "a"], 1),
        (None, [], ["a"], 0),
    ],
)
def test_a_system_prompt_beside_the_turns(system: Any, first: list[Any], made: list[str], said: int) -> None:
    counted = Said()
    data = read_dialogue({"messages": [*first, ASKED], "system": system, "lang": "en"}, "messages", counted)
    assert [turn["content"] for turn in data["messages"]] == made
    assert counted[PROMPT_TWICE] == said
    assert {key for key in data if key != "messages"} == {"lang"}


def test_weights_of_others_are_left_out_and_said_where_they_ask_for_training() -> None:
    counted = Said()
    given = [{**ASKED, "weight": 0}, {"from": "gpt", "value": "b", "weight": 0}, {**ASKED, "weight": 1}]
    data = read_dialogue({"conversations": given}, "conversations", counted)
    assert [turn.get("weight") for turn in data["messages"]] == [None, 0, None]
    assert counted.total() == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}, {"type": "text", "text": "b"}]}],
         "words after a call"),
        ([{"role": "assistant", "content": [{"type": "tool_use", "input": {}}]}], "tool_use: a call without"),
        ([{"role": "user", "content": [{"type": "image"}]}], r"messages\[0\].content: only text"),
        ([{"role": "tool_call", "content": "f(1)"}], "not JSON"),
        ([{"role": "tool_call", "content": "{'name': 'f', 'arguments': '{x'}"}], "the arguments of f are not JSON"),
        ([{"role": "tool_call", "content": "[]"}], "not JSON"),
        ([{"role": "assistant", "content": "b", "weight": 0}, {"role": "tool_call", "content": TEXT}],
         "different weights"),
        ([{"role": "assistant", "tool_calls": "x"}], "tool_calls: not JSON"),
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_refused(given: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        turns(*given)


def test_a_line_with_two_dialogues_is_refused() -> None:
    with pytest.raises(Untranslatable, match="only one of them"):
        read_dialogue({"messages": [ASKED], "conversations": [ASKED]}, "conversations", Said())


def test_calls_of_others_than_the_assistant_stay_to_be_refused() -> None:
    assert turns({**ASKED, "tool_calls": [CALL]}) == [{**ASKED, "tool_calls": [CALL]}]
