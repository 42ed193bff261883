from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from topcoat.spec.agent import Agent
from topcoat.spec.example import Example, load_examples
from topcoat.spec.tools.catalog import Catalog

MistakesOf = Callable[..., list[tuple[int | None, str]]]

S = {"role": "system", "content": "s"}
U = {"role": "user", "content": "u"}
A = {"role": "assistant", "content": "a"}
T = {"role": "tool", "content": "t"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}


def example(*messages: dict[str, Any], **extra: Any) -> Example:
    return Example.model_validate({"messages": list(messages), **extra})


@pytest.mark.parametrize("content", ["Done.", None])
def test_a_call_in_the_older_form_is_refused_and_not_left_out(content: str | None) -> None:
    called = {"role": "assistant", "content": content, "function_call": {"name": "f", "arguments": "{}"}}
    with pytest.raises(ValidationError, match="older form of tool_calls"):
        example(U, called)


@pytest.mark.parametrize(
    "messages",
    [[U, A], [S, U, A], [U, A, U, A], [S, U, CALL, T, A], [U, CALL, T, T, A, U, A], [U, A, U, CALL], [U, CALL]],
)
def test_dialogues_in_order_are_accepted(messages: list[dict[str, Any]]) -> None:
    assert example(*messages).dialogue() == messages


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [U],
        [A],
        [S, A],
        [U, S, A],
        [U, U, A],
        [U, A, A],
        [U, T, A],
        [U, A, U],
        [U, CALL, T],
        [U, CALL, T, U, A],
        [S, S, U, A],
        [U, {**CALL, "tool_calls": []}],
        [U, {"role": "assistant", "content": " \n"}],
        [U, {"role": "assistant", "content": None}],
        [U, {"role": "assistant"}],
        [{"role": "user", "content": None}, A],
        [{"role": "user", "content": ["parts"]}, A],
        [{"role": "user", "content": "u", "tool_calls": [1]}, A],
        [{"role": "human", "content": "u"}, A],
    ],
)
def test_dialogues_out_of_order_or_without_an_answer_are_refused(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        example(*messages)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "1", True])
def test_weights_must_be_positive_numbers(weight: object) -> None:
    with pytest.raises(ValidationError):
        example(U, A, weight=weight)


def test_extra_keys_are_kept() -> None:
    turn = {**A, "reasoning": "because"}
    loaded = example(U, turn, tools=[{"name": "f"}], source="web", category="git", weight=2)
    assert loaded.model_extra == {"source": "web"}
    assert loaded.dialogue() == [U, turn]
    assert (loaded.category, loaded.weight, loaded.tools) == ("git", 2.0, [{"name": "f"}])


def test_the_digest_is_of_the_dialogue_alone() -> None:
    assert example(U, A).digest == example(U, A, category="git", weight=2, source="web").digest
    assert example(U, A).digest != example(S, U, A).digest
    assert example(U, A).digest != example(U, {**A, "name": "x"}).digest


def test_a_file_is_read_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n" + json.dumps({"messages": [U, A]}) + "\n\n" + json.dumps({"messages": [S, U, A]}))
    loaded = load_examples(path)
    assert [str(item.where) for item in loaded] == [f"{path}:2", f"{path}:4"]
    assert loaded[1].example == example(S, U, A)


def test_every_mistake_of_a_file_is_reported(mistakes_of: MistakesOf) -> None:
    rows = [
        {"prompt": "p", "completion": "c"},
        {"messages": [A, U], "weight": 0.5},
        {"messages": [{"role": "user"}, A]},
        {"messages": [U, {"role": "assistant", "content": ""}]},
        {"messages": []},
    ]
    assert mistakes_of(load_examples, "\n".join(map(json.dumps, rows))) == [
        (1, "messages: is missing"),
        (2, "messages[0].role: an assistant turn can't stand at the start, only system or user"),
        (2, "messages[1].role: the last turn must be assistant, is user"),
        (3, "messages[0].content: is missing"),
        (4, "messages: no assistant turn says or calls anything: there is nothing to learn"),
        (5, "messages: must hold at least one turn"),
    ]


@pytest.mark.parametrize("wrong", [None, "read_file", 5, [1]])
def test_calls_and_tools_must_be_objects(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"tool_calls\.0"):
        Example.model_validate({"messages": [U, {**CALL, "tool_calls": [wrong]}, {"role": "tool", "content": "t"}, A]})
    with pytest.raises(ValueError, match=r"tools\.0"):
        Example.model_validate({"messages": [U, A], "tools": [wrong]})


def test_own_tools_reach_the_template_in_openai_s_form() -> None:
    mcp = {"name": "look", "description": "Look.", "inputSchema": {"type": "object", "properties": {}}}
    ours = {
        "type": "function",
        "function": {"name": "look", "description": "Look.", "parameters": mcp["inputSchema"]},
    }
    turns = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    brought = Example.model_validate({"messages": turns, "tools": [mcp]})
    assert brought.shown(None).tools == [ours]
    assert Example.model_validate({"messages": turns, "tools": [ours]}).shown(None).tools == [ours]
    assert Example.model_validate({"messages": turns}).shown([ours]).tools == [ours]
    assert Agent(Catalog(Path("tools.json"), {}), calls="native").bringing([mcp]).shown == [ours]
