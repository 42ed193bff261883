"""Anthropic's and OpenAI's own clients before the front, and a server of chat completions behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anthropic import BadRequestError, RateLimitError
from openai import BadRequestError as OpenAIBadRequest

from tests.support.usage.api_clients import (
    DIALOGUE,
    MESSAGES,
    RESPONSES,
    USER,
    by_anthropic,
    by_openai,
    clients,
    native,
    refused,
    sent,
)
from tests.support.usage.apis import in_api
from tests.support.usage.front import CHAT, HELLO, World, request, streamed, whole, world
from topcoat.usage.capture.access import Access
from topcoat.usage.events import Event
from topcoat.usage.log import EventLog
from topcoat.usage.turns import Spoken

READ = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "x"}'}}
RUN = {"id": "c2", "type": "function", "function": {"name": "run", "arguments": '{"path": "y"}'}}
TOOLS: list[Any] = [{"name": "read_file", "input_schema": {"type": "object", "properties": {}}}]
FUNCTIONS: list[Any] = [{"type": "function", "name": "read_file", "parameters": {"type": "object"}, "strict": False}]


def events_of(made: World) -> list[Event]:
    """The events so far, while the recorder goes on."""
    with EventLog(made.path) as log:
        return list(log.events())


def test_clients_of_both_apis_get_the_models_answer_and_it_is_recorded(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi", tool_calls=[READ, RUN]), model="coat") as (made, _):
            async with clients(made) as (anthropic, openai):
                message = await anthropic.messages.create(model="m", max_tokens=9, messages=USER, tools=TOOLS)
                response = await openai.responses.create(model="m", input="hello", tools=FUNCTIONS)
            assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
            assert (message.model, message.stop_reason) == ("coat", "tool_use")
            assert response.output_text == "hi"
            assert [item.call_id for item in response.output if item.type == "function_call"] == ["c1", "c2"]
            assert made.paths == [CHAT, CHAT]
            assert [json.loads(body)["model"] for _, body in made.asked] == ["default_model"] * 2
            first, second = made.events()
        for event in (first, second):
            assert (event.query, event.answer, event.finish) == ("hello", "hi", "stop")
            assert [(call.id, call.name, call.arguments) for call in event.calls] == [
                ("c1", "read_file", '{"path": "x"}'),
                ("c2", "run", '{"path": "y"}'),
            ]
            assert event.tools is not None
            assert event.tools[0]["type"] == "function"

    asyncio.run(scene())


def test_streams_of_both_apis_are_the_models_answer_and_it_is_recorded(tmp_path: Path) -> None:
    calls = [{"tool_calls": [{"index": 0, **READ}]}, {"tool_calls": [{"index": 1, **RUN}]}]
    answer = streamed({"reasoning": "Hm."}, {"content": "Grüße "}, {"content": "🎨"}, *calls)

    async def scene() -> None:
        async with world(tmp_path, answer, model="coat") as (made, _):
            async with clients(made) as (anthropic, openai):
                texts = []
                async with anthropic.messages.stream(
                    model="m", max_tokens=2000, messages=USER, tools=TOOLS, thinking={"type": "adaptive"}
                ) as stream:
                    async for text in stream.text_stream:
                        texts.append(text)
                    message = await stream.get_final_message()
                assert len(events_of(made)) == 1  # the end comes when the exchange is written
                async with openai.responses.stream(model="m", input="hello", tools=FUNCTIONS) as found:
                    async for _ in found:
                        pass
                    response = await found.get_final_response()
            assert texts == ["Grüße ", "🎨"]
            assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
            assert [block.input for block in message.content if block.type == "tool_use"] == [
                {"path": "x"},
                {"path": "y"},
            ]
            assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
            assert response.output_text == "Grüße 🎨"
            assert json.loads(made.asked[0][1])["stream_options"] == {"include_usage": True}
            first, second = made.events()
        for event in (first, second):
            assert (event.query, event.answer, event.reasoning, event.finish) == ("hello", "Grüße 🎨", "Hm.", "stop")
            assert [call.name for call in event.calls] == ["read_file", "run"]

    asyncio.run(scene())


def recorded(folder: Path, api: str, path: str) -> list[dict[str, Any]]:
    """What is recorded of a dialogue, request by request, without what differs by chance."""

    async def scene() -> list[Event]:
        async with world(folder, whole("ok"), model="coat") as (made, client):
            for end in (2, 5, 7):
                async with client.post(path, data=in_api(api, DIALOGUE[:end])) as answer:
                    assert answer.status == 200, await answer.text()
            return made.events()

    folder.mkdir()
    events = asyncio.run(scene())
    sessions = {event.session: number for number, event in enumerate(reversed(events))}
    chance = {"id", "time", "before", "after", "session"}
    return [{**event.model_dump(exclude=chance), "session": sessions[event.session]} for event in events]


def test_a_dialogue_is_recorded_alike_in_every_api(tmp_path: Path) -> None:
    chat = recorded(tmp_path / "chat", "chat", CHAT)
    assert [(event["kind"], event["result"] and event["result"]["success"]) for event in chat] == [
        ("request", None),
        ("request", None),
        ("tool_call", True),
        ("tool_call", False),
        *[("request", None)] * 3,
    ]
    assert recorded(tmp_path / "messages", "messages", MESSAGES) == chat
    assert recorded(tmp_path / "responses", "responses", RESPONSES) == chat


def test_a_result_that_the_client_calls_an_error_is_one(tmp_path: Path) -> None:
    turns = [*DIALOGUE[:3], Spoken("tool", "seven", call_id="c1", failed=True), Spoken("tool", "8", call_id="c2")]

    async def scene() -> None:
        async with world(tmp_path, whole("ok"), model="coat") as (made, client):
            async with client.post(MESSAGES, data=in_api("messages", turns)) as answer:
                assert answer.headers["X-Topcoat-Notes"] == "is_error of a result left out (its text tells it)"
            results = [event.result.success for event in made.events() if event.result]
        assert results == [False, True]

    asyncio.run(scene())


def test_what_coding_agents_add_to_the_users_words_is_no_question(tmp_path: Path) -> None:
    """Claude Code's reminders and Codex's context, as their versions 2.1 and 0.171 send them."""
    reminder = {"type": "text", "text": "<system-reminder>\nToday is Monday.\n</system-reminder>\n"}
    claude = {
        "max_tokens": 9,
        "system": [{"type": "text", "text": "You are."}, {"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [reminder, {"type": "text", "text": "hello"}]},
            {"role": "system", "content": "Agents: none."},
        ],
    }
    codex = {
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are."}]},
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "<environment_context>/w</environment_context>"}],
            },
            {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        ]
    }

    async def scene() -> None:
        async with world(tmp_path, whole("ok"), model="coat") as (made, client):
            headers = {"X-Claude-Code-Session-Id": "claude-1"}
            async with client.post(f"{MESSAGES}?beta=true", json=claude, headers=headers) as answer:
                assert answer.status == 200
            async with client.post(RESPONSES, json=codex, headers={"session-id": "codex-1"}) as answer:
                assert answer.status == 200
            first, second = made.events()
        assert (first.query, second.query) == ("hello", "hello")
        assert (first.session, second.session) == ("claude-1", "codex-1")
        assert first.system == f"You are.\n\nBe brief.\n\n{reminder['text']}\n\nAgents: none."
        assert second.system == "You are.\n\n<environment_context>/w</environment_context>"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("user", "session"),
    [
        ('{"device_id": "d", "session_id": "s-1"}', "s-1"),
        ("user_0a1b_account__session_01a2176b-e11c", "01a2176b-e11c"),
        ("ann", "ann"),
    ],
)
def test_a_session_in_the_name_of_the_user_is_the_session(tmp_path: Path, user: str, session: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("ok"), model="coat") as (made, client):
            body = in_api("messages", DIALOGUE[:2], metadata={"user_id": user})
            async with client.post(MESSAGES, data=body) as answer:
                assert answer.status == 200
            (event,) = made.events()
        assert event.session == session

    asyncio.run(scene())


def test_refusals_have_the_form_of_the_clients_api(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, refused, model="coat") as (made, client):
            async with clients(made) as (anthropic, openai):
                with pytest.raises(BadRequestError, match="the model server refuses the request: roles must alternate"):
                    await anthropic.messages.create(model="m", max_tokens=9, messages=USER)
                with pytest.raises(
                    OpenAIBadRequest, match="the model server refuses the request: roles must alternate"
                ):
                    await openai.responses.create(model="m", input="hello")
                with pytest.raises(OpenAIBadRequest, match="previous_response_id: topcoat keeps no responses"):
                    await openai.responses.create(model="m", input="hello", previous_response_id="r")
            async with client.post(f"{MESSAGES}/batches", json={}) as answer:
                said = await answer.json()
                assert (answer.status, said["error"]["type"]) == (404, "not_found_error")
            async with client.get(f"{RESPONSES}/resp_1") as answer:
                said = await answer.json()
                assert (answer.status, said["error"]["type"]) == (404, "invalid_request_error")
            assert made.events() == []

    asyncio.run(scene())


def test_a_strangers_refusal_has_the_form_of_its_api(tmp_path: Path) -> None:
    async def scene() -> None:
        access = Access("127.0.0.1", "token")
        async with world(tmp_path, whole("hi"), model="coat", access=access) as (made, client):
            async with client.post(MESSAGES, json={}) as answer:
                assert (answer.status, (await answer.json())["error"]["type"]) == (401, "authentication_error")
            body = in_api("messages", DIALOGUE[:2])
            for headers in ({"x-api-key": "token"}, {"authorization": "Bearer token"}):
                async with client.post(MESSAGES, data=body, headers=headers) as answer:
                    assert answer.status == 200
            for headers, _ in made.asked:
                assert not {"x-api-key", "authorization"} & {name.lower() for name in headers}

    asyncio.run(scene())


def test_a_servers_wish_to_wait_reaches_the_client(tmp_path: Path) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        return web.Response(status=429, text="slow down", headers={"Retry-After": "3"})

    async def scene() -> None:
        async with world(tmp_path, busy) as (made, _), clients(made) as (anthropic, _):
            with pytest.raises(RateLimitError) as limited:
                await anthropic.messages.create(model="m", max_tokens=9, messages=USER)
            assert limited.value.response.headers["Retry-After"] == "3"

    asyncio.run(scene())


def test_a_whole_answer_to_a_wish_for_a_stream_is_streamed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="coat") as (made, _), clients(made) as (anthropic, openai):
            assert await by_anthropic(anthropic) == await by_openai(openai) == "hi"
            assert [event.answer for event in made.events()] == ["hi", "hi"]

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": 7}]}], ids=["none", "empty", "odd"])
def test_an_answer_that_is_none_is_an_error_of_the_server(tmp_path: Path, answer: dict[str, Any]) -> None:
    async def scene() -> None:
        async with world(tmp_path, native(answer), model="coat") as (_, client):
            status, said, _ = await sent(client, MESSAGES, in_api("messages", DIALOGUE[:2]))
        assert (status, json.loads(said)["error"]["type"]) == (502, "api_error")

    asyncio.run(scene())


def test_tokens_are_counted_as_the_template_writes_them(tmp_path: Path) -> None:
    def count(messages: Any, tools: Any) -> int:
        return len(json.dumps([messages, tools]))

    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="coat", count=count) as (made, client):
            async with clients(made) as (anthropic, _):
                few = await anthropic.messages.count_tokens(model="m", messages=USER)
                more = await anthropic.messages.count_tokens(model="m", messages=USER, tools=TOOLS)
            assert few.input_tokens == len(json.dumps([[HELLO], None]))
            assert more.input_tokens > few.input_tokens
            assert made.asked == []
        async with world(tmp_path, whole("hi"), model="coat") as (_, client):
            status, _, _ = await sent(client, f"{MESSAGES}/count_tokens", request(HELLO))
        assert status == 404

    asyncio.run(scene())


def test_what_our_own_server_does_not_heed_is_said(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="coat") as (_, client):
            choice = {"type": "any", "disable_parallel_tool_use": True}
            _, _, headers = await sent(client, MESSAGES, in_api("messages", DIALOGUE[:2], tool_choice=choice))
        assert headers["X-Topcoat-Notes"].split("; ") == [
            "the wish for one call at a time not heeded by mlx_lm.server",
            "tool_choice not heeded by mlx_lm.server",
        ]

    asyncio.run(scene())
