"""Clients of three APIs before the front, and servers behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, web
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.support.usage.front import CHAT, Answer, World
from topcoat.usage.events import ToolCall
from topcoat.usage.turns import Spoken

__all__ = ["DIALOGUE", "MESSAGES", "RESPONSES", "USER", "by_anthropic", "by_openai", "clients", "knows", "native"]
__all__ += ["native_stream", "refused", "sent"]

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
USER: list[Any] = [{"role": "user", "content": "hello"}]
DIALOGUE = [
    Spoken("system", "S"),
    Spoken("user", "hello"),
    Spoken(
        "assistant",
        "I look.",
        (ToolCall(id="c1", name="read_file", arguments='{"path": "x"}'), ToolCall(id="c2", name="run")),
    ),
    Spoken("tool", "2 lines", call_id="c2"),
    Spoken("tool", "Error: no such file", call_id="c1"),
    Spoken("assistant", "It is gone."),
    Spoken("user", "Thanks! And y?"),
]


@asynccontextmanager
async def clients(made: World) -> AsyncIterator[tuple[AsyncAnthropic, AsyncOpenAI]]:
    async with (
        AsyncAnthropic(base_url=made.url, api_key="-", max_retries=0) as anthropic,
        AsyncOpenAI(base_url=f"{made.url}/v1", api_key="-", max_retries=0) as openai,
    ):
        yield anthropic, openai


async def sent(client: ClientSession, path: str, body: bytes) -> tuple[int, bytes, Mapping[str, str]]:
    async with client.post(path, data=body) as answer:
        return answer.status, await answer.read(), answer.headers


async def refused(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "roles must alternate"}, status=404)


def knows(path: str, answer: Answer, then: Answer) -> Answer:
    """A server with one path that answers it itself; `then` answers chat completions, and it has nothing else."""

    async def answered(request: web.Request) -> web.StreamResponse:
        if request.path == path:
            return await answer(request)
        return await then(request) if request.path == CHAT else web.Response(status=404, text="404 page not found")

    return answered


def native(document: dict[str, Any]) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return answer


def native_stream(documents: list[dict[str, Any]]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for document in documents:
            await response.write(f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode())
        return response

    return answer


async def by_anthropic(client: AsyncAnthropic) -> str:
    async with client.messages.stream(model="m", max_tokens=9, messages=USER) as stream:
        return await stream.get_final_text()


async def by_openai(client: AsyncOpenAI) -> str:
    async with client.responses.stream(model="m", input="hello") as stream:
        return (await stream.get_final_response()).output_text
