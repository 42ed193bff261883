"""Servers behind the front that know the Messages or the Responses API themselves, and servers that don't."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.api_clients import (
    DIALOGUE,
    MESSAGES,
    RESPONSES,
    USER,
    knows,
    native,
    native_stream,
    refused,
)
from tests.support.usage.apis import in_api
from tests.support.usage.front import CHAT, Answer, whole, world
from topcoat.usage.events import ToolCall
from topcoat.usage.turns import Spoken

NATIVE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "theirs",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "t1", "name": "read_file", "input": {"path": "x"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
NATIVE_STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**NATIVE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "h"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "i"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t1", "name": "read_file", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"path"'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ': "x"}'}},
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
]
ITEMS: list[Any] = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "hi", "annotations": []}],
    },
    {
        "type": "function_call",
        "id": "f",
        "call_id": "t1",
        "name": "read_file",
        "arguments": '{"path": "x"}',
        "status": "completed",
    },
]
NATIVE_RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": ITEMS}
RESPONSE_STREAM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {**NATIVE_RESPONSE, "status": "in_progress", "output": []}},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEMS[0]},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {**ITEMS[1], "status": "in_progress", "content": []},
    },
    {"type": "response.output_text.delta", "output_index": 1, "delta": "hi"},
    {"type": "response.output_item.done", "output_index": 1, "item": ITEMS[1]},
    {"type": "response.output_item.done", "output_index": 2, "item": ITEMS[2]},
    {"type": "response.completed", "response": NATIVE_RESPONSE},
]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (MESSAGES, native(NATIVE)),
        (MESSAGES, native_stream(NATIVE_STREAM)),
        (RESPONSES, native(NATIVE_RESPONSE)),
        (RESPONSES, native_stream(RESPONSE_STREAM)),
    ],
    ids=["messages", "messages streamed", "responses", "responses streamed"],
)
def test_a_server_that_knows_the_api_answers_itself_and_is_recorded(tmp_path: Path, path: str, answer: Answer) -> None:
    api = path.removeprefix("/v1/")

    async def scene() -> None:
        async with world(tmp_path, knows(path, answer, refused)) as (made, client):
            body = in_api(api, DIALOGUE[:2], metadata={"kept": "as it is"})
            async with client.post(f"{path}?beta=true", data=body) as got:
                through = await got.read()
            assert made.asked[0][1] == body
            assert made.paths == [f"{path}?beta=true"]
            assert b"resp_1" in through or b"msg_1" in through
            said = Spoken("assistant", "hi", (ToolCall(id="t1", name="read_file", arguments='{"path": "x"}'),))
            more = [*DIALOGUE[:2], said, Spoken("tool", "7", call_id="t1")]
            async with client.post(path, data=in_api(api, more)) as got:
                await got.read()
            first, outcome, second = made.events()
        assert (first.system, first.query, first.answer, first.reasoning) == ("S", "hello", "hi", "Hm.")
        assert first.finish == "tool_calls"
        assert [(call.name, call.meant) for call in first.calls] == [("read_file", {"path": "x"})]
        assert (outcome.kind, outcome.tool) == ("tool_call", "read_file")
        assert len({first.session, outcome.session, second.session}) == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "stream", "text"),
    [(MESSAGES, NATIVE_STREAM[:7], "h"), (RESPONSES, RESPONSE_STREAM[:4], "hi")],
    ids=["messages", "responses"],
)
def test_a_servers_own_answer_that_breaks_off_is_recorded_as_cut(
    tmp_path: Path, path: str, stream: list[dict[str, Any]], text: str
) -> None:
    async def scene() -> None:
        async with world(tmp_path, knows(path, native_stream(stream), refused)) as (made, client):
            async with client.post(path, data=in_api(path.removeprefix("/v1/"), DIALOGUE[:2])) as got:
                await got.read()
            (event,) = made.events()
        assert (event.answer, event.finish) == (text, "cut")

    asyncio.run(scene())


def test_the_providers_own_tools_within_an_answer_are_calls_with_results(tmp_path: Path) -> None:
    search: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "text", "text": "found"}]},
        {"type": "text", "text": "It is y."},
    ]
    document = {**NATIVE, "content": search, "stop_reason": "end_turn"}

    async def scene() -> None:
        async with world(tmp_path, knows(MESSAGES, native(document), refused)) as (made, client):
            first = in_api("messages", DIALOGUE[:2])
            async with client.post(MESSAGES, data=first) as got:
                await got.read()
            body = json.loads(first)
            body["messages"] += [{"role": "assistant", "content": search}, *USER]
            async with client.post(MESSAGES, json=body) as got:
                await got.read()
            events = made.events()
        asked = [(event.kind, event.query, event.answer) for event in events]
        assert asked[:3] == [("request", "hello", None), ("tool_call", None, None), ("request", None, "It is y.")]
        assert asked[3][1] == "hello"
        assert len(asked) == 6
        assert len({event.session for event in events}) == 1

    asyncio.run(scene())


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_a_server_without_the_path_is_asked_in_chat_completions(tmp_path: Path, path: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, knows("/none", refused, whole("hi"))) as (made, client):
            for _ in range(2):
                headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
                body = in_api(path.removeprefix("/v1/"), DIALOGUE[:2])
                async with client.post(path, data=body, headers=headers) as got:
                    assert got.status == 200
            assert made.paths == [path, CHAT, CHAT]
            assert [note for note in made.said if "translated" in note] == [
                f"{made.upstream} has no {path}: translated to chat completions"
            ]
            passed = {name.lower(): value for name, value in made.asked[1][0].items()}
            assert passed["authorization"] == "Bearer k"
            assert not {"x-api-key", "anthropic-version"} & set(passed)
            assert [event.answer for event in made.events()] == ["hi", "hi"]

    asyncio.run(scene())


def test_a_model_that_the_server_lacks_is_no_path_that_it_lacks(tmp_path: Path) -> None:
    """Both are 404. What its chat completions say tells them apart."""

    async def scene() -> None:
        async with world(tmp_path, knows("/none", refused, refused)) as (made, client):
            for _ in range(2):
                async with client.post(MESSAGES, data=in_api("messages", DIALOGUE[:2])) as got:
                    said = await got.json()
                    assert (got.status, said["error"]["type"]) == (404, "not_found_error")
            assert made.paths == [MESSAGES, CHAT] * 2

    asyncio.run(scene())
