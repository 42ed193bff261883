from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.growth import growth
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.turns import Spoken

Call = dict[str, Any]


def line(delta: dict[str, Any], **choice: Any) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, **choice, 'delta': delta}]})}\n\n"


def answers(stream: str) -> list[Spoken]:
    return Exchange(datetime.now(UTC), b"{}", stream.encode(), streamed=True).answers()


def call(index: int | None, name: str = "", arguments: str = "", **fields: str) -> Call:
    return {"index": index, "function": {"name": name, "arguments": arguments}, **fields}


@pytest.mark.parametrize("key", ["content", "reasoning", "reasoning_content"])
def test_joining_the_texts_of_a_stream_is_linear(key: str) -> None:
    assert growth(answers, line({key: "x" * 8_000}), 800) < 1.5


def test_joining_the_arguments_of_a_call_is_linear() -> None:
    begin, unit = line({"tool_calls": [call(0, "f")]}), line({"tool_calls": [call(0, "", "x" * 8_000)]})
    assert growth(lambda text: answers(begin + text), unit, 800) < 1.5


@pytest.mark.parametrize("index", [None, 0])
def test_joining_many_pieces_of_calls_is_linear(index: int | None) -> None:
    assert growth(answers, line({"tool_calls": [call(index, "f", "{}")]}), 4_000) < 1.5


def test_a_call_with_a_large_index_is_one_call() -> None:
    stream = line({"tool_calls": [call(3_000_000, "f", "{}", id="a")]})
    tracemalloc.start()
    try:
        (answer,) = answers(stream)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(call.id, call.name) for call in answer.calls] == [("a", "f")]
    assert most < 1_000_000


def test_the_pieces_of_calls_are_joined_by_index_and_those_without_one_are_calls_of_their_own() -> None:
    deltas = [
        call(1, "g", "{", id="b"),
        call(0, "f", "{", id="a"),
        call(1, "", "}"),
        call(0, "", "}"),
        call(None, "h", ""),
    ]
    (answer,) = answers("".join(line({"tool_calls": [piece]}) for piece in deltas))
    assert [(call.id, call.name, call.arguments) for call in answer.calls] == [
        ("a", "f", "{}"),
        ("b", "g", "{}"),
        ("", "h", ""),
    ]


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("named", [True, False])
def test_parallel_calls_of_one_index_are_told_apart(index: int | None, named: bool) -> None:
    """As servers stream them that give every call the index 0: by their ids, or by the names of whole calls."""
    ids = [{"id": "a"}, {"id": "b"}] if named else [{}, {}]
    pieces = [call(index, "f", '{"x": 1}', **ids[0]), call(index, "f", '{"x": 2}', **ids[1]), call(index, "", "")]
    (answer,) = answers("".join(line({"tool_calls": [piece]}) for piece in pieces))
    assert [call.arguments for call in answer.calls] == ['{"x": 1}', '{"x": 2}']


def test_a_requests_blocks_are_calls_and_results() -> None:
    blocks = [
        {"role": "user", "content": [{"type": "text", "text": "list"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "ls", "input": {"path": "."}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "no"}]},
    ]
    body = json.dumps({"system": "be brief", "messages": blocks}).encode()
    turns, _, _ = Exchange(datetime.now(UTC), body, b"", streamed=False).question()
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool"]
    assert [(call.name, call.arguments) for call in turns[2].calls] == [("ls", '{"path": "."}')]
    assert (turns[3].call_id, turns[3].failed, turns[3].content) == ("1", True, "no")
