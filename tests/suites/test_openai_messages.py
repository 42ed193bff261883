from __future__ import annotations

import json
from typing import Any

from topcoat.suites.openai_messages import openai_messages


def called(*names: str, **more: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "tool_calls": [{"function": {"name": n, "arguments": {"x": "é"}}, **more} for n in names],
    }


def result(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": text, **more}


def ids(turns: list[dict[str, Any]]) -> list[str | None]:
    return [turn.get("tool_call_id") for turn in turns if turn["role"] == "tool"]


def test_arguments_are_text_and_calls_have_a_type_and_an_id() -> None:
    (turn,) = openai_messages([called("read")])
    (call,) = turn["tool_calls"]
    assert call["type"] == "function"
    assert json.loads(call["function"]["arguments"]) == {"x": "é"}
    assert (len(call["id"]), call["id"].isalnum()) == (9, True)
    assert turn["content"] is None


def test_arguments_that_are_text_stay_as_they_are() -> None:
    turn = {
        "role": "assistant",
        "content": "so:",
        "tool_calls": [{"function": {"name": "a", "arguments": '{"b" : 1}'}}],
    }
    (sent,) = openai_messages([turn])
    assert sent["tool_calls"][0]["function"] == {"name": "a", "arguments": '{"b" : 1}'}
    assert sent["content"] == "so:"


def test_no_arguments_are_an_empty_object() -> None:
    calls = [{"function": {"name": "a"}}, {"name": "b", "arguments": {}}, {"function": {"name": "c", "arguments": ""}}]
    (sent,) = openai_messages([{"role": "assistant", "tool_calls": calls}])
    assert [call["function"]["arguments"] for call in sent["tool_calls"]] == ["{}"] * 3


def test_results_without_an_id_belong_to_the_calls_before_them_in_order() -> None:
    turns = openai_messages([called("a", "b"), result("1"), result("2"), called("a"), result("3")])
    assert ids(turns) == [
        turns[0]["tool_calls"][0]["id"],
        turns[0]["tool_calls"][1]["id"],
        turns[3]["tool_calls"][0]["id"],
    ]
    assert len(set(ids(turns))) == 3


def test_a_named_result_belongs_to_the_call_of_its_name() -> None:
    turns = openai_messages(
        [called("a", "b", "a"), result("1", name="b"), result("2", name="a"), result("3", name="a")]
    )
    calls = [call["id"] for call in turns[0]["tool_calls"]]
    assert ids(turns) == [calls[1], calls[0], calls[2]]


def test_given_ids_stay() -> None:
    first, second = called("a", id="one")["tool_calls"][0], called("b", id="two")["tool_calls"][0]
    turn = {"role": "assistant", "content": "", "tool_calls": [first, second]}
    turns = openai_messages([turn, result("2", tool_call_id="two"), result("1")])
    assert [call["id"] for call in turns[0]["tool_calls"]] == ["one", "two"]
    assert ids(turns) == ["two", "one"]


def test_other_turns_and_keys_stay_and_the_dialogue_is_not_changed() -> None:
    dialogue = [{"role": "user", "content": "a", "name": "me"}, called("a"), {"role": "assistant", "content": "b"}]
    before = json.dumps(dialogue)
    sent = openai_messages(dialogue)
    assert (sent[0], sent[2]) == (dialogue[0], dialogue[2])
    assert json.dumps(dialogue) == before


def test_a_result_without_a_call_has_no_id() -> None:
    assert ids(openai_messages([result("1"), called("a", id="x"), result("2"), result("3")])) == [None, "x", None]
