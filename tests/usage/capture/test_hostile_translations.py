"""Malformed requests of the Messages and the Responses API, and connections that break."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic import APIError as AnthropicError
from openai import APIError as OpenAIError

from tests.support.usage.api_clients import (
    DIALOGUE,
    MESSAGES,
    RESPONSES,
    by_anthropic,
    by_openai,
    clients,
    sent,
)
from tests.support.usage.apis import in_api
from tests.support.usage.front import streamed, whole, world
from topcoat.usage.capture import front as front_module
from topcoat.usage.turns import Spoken


def seven(*_: object) -> int:
    return 7


COUNT = f"{MESSAGES}/count_tokens"
DEEP = b'{"max_tokens": 9, "input": "x", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"{",
        b"{}",
        b"null",
        DEEP,
        b'{"messages": {}, "input": {}}',
        b"[" * 99_999,
    ],
    ids=["empty", "text", "list", "string", "bytes", "cut", "nothing", "null", "deep", "objects", "opened"],
)
@pytest.mark.parametrize("path", [MESSAGES, RESPONSES, COUNT])
def test_a_malformed_request_is_refused_in_the_form_of_its_api(tmp_path: Path, path: str, body: bytes) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="coat", count=seven) as (made, client):
            async with client.post(path, data=body) as answer:
                assert (answer.status, (await answer.json())["error"]["type"]) == (400, "invalid_request_error")
            assert made.asked == []

    asyncio.run(scene())


def test_a_name_of_the_clients_is_no_line_of_a_header(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="coat") as (_, client):
            evil: dict[str, Any] = {"a\r\nSet-Cookie: x": 1, "ü": 2, **{f"field{n}": 1 for n in range(3000)}}
            async with client.post(MESSAGES, data=in_api("messages", DIALOGUE[:2], **evil)) as answer:
                assert answer.status == 200
                assert "Set-Cookie" not in answer.headers
                assert (
                    "unnamed left out" in answer.headers["X-Topcoat-Notes"]
                    or "field" in answer.headers["X-Topcoat-Notes"]
                )
            async with client.get("/health") as answer:
                counts = (await answer.json())["translation"]
            assert len(counts) <= 101
            assert sum(counts.values()) == 3001

    asyncio.run(scene())


def test_half_a_character_is_no_fault_of_ours(tmp_path: Path) -> None:
    async def scene() -> None:
        half = "\ud83c"
        async with world(tmp_path, streamed({"content": f"a{half}"}), model="coat") as (made, client):
            turns = [Spoken("user", f"q{half}")]
            for api, path in (("messages", MESSAGES), ("responses", RESPONSES)):
                async with client.post(path, data=in_api(api, turns, stream=True)) as answer:
                    assert answer.status == 200
                    await answer.read()
            assert [event.answer for event in made.events()] == ["a\ufffd"] * 2

    asyncio.run(scene())


@pytest.mark.parametrize(("api", "path"), [("messages", MESSAGES), ("responses", RESPONSES)])
def test_a_client_that_goes_away_ends_its_request(tmp_path: Path, api: str, path: str) -> None:
    async def scene() -> None:
        answer = streamed(*[{"content": "x"}] * 500, pause=0.01)
        async with world(tmp_path, answer, model="coat") as (made, client):
            async with client.post(path, data=in_api(api, DIALOGUE[:2], stream=True)) as got:
                await got.content.readuntil(b"delta")
            for _ in range(300):
                if made.recorder.figures().kept:
                    break
                await asyncio.sleep(0.01)
            (event,) = made.events()
        assert event.finish == "cut"
        assert len(event.answer or "") < 400

    asyncio.run(scene())


@pytest.mark.parametrize(("api", "path"), [("messages", MESSAGES), ("responses", RESPONSES)])
def test_a_models_answer_that_breaks_off_is_an_error_to_the_client(tmp_path: Path, api: str, path: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, streamed({"content": "half"}, end=False), model="coat") as (made, client):
            async with client.post(path, data=in_api(api, DIALOGUE[:2], stream=True)) as got:
                stream = await got.read()
            assert (b"event: error" in stream) or (b"event: response.failed" in stream)
            async with clients(made) as (anthropic, openai):
                asking = by_anthropic(anthropic) if api == "messages" else by_openai(openai)
                with pytest.raises((AnthropicError, OpenAIError, RuntimeError)):
                    await asking
            events = made.events()
        assert [(event.answer, event.finish) for event in events] == [("half", "cut")] * 2

    asyncio.run(scene())


def test_a_silent_model_is_said_to_be_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "_ALIVE_SECONDS", 0.05)

    async def scene() -> None:
        async with world(tmp_path, streamed({"content": "x"}, pause=0.4), model="coat") as (_, client):
            _, stream, _ = await sent(client, MESSAGES, in_api("messages", DIALOGUE[:2], stream=True))
        assert stream.count(b"event: ping") > 2
        assert b'"text": "x"' in stream
        assert stream.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')

    asyncio.run(scene())


def test_a_client_that_leaves_as_a_chunk_comes_ends_the_answer() -> None:
    """Python 3.11's `wait_for` gives the chunk and forgets that the task was cancelled."""

    async def scene() -> None:
        comes: asyncio.Queue[bytes] = asyncio.Queue()
        answer = SimpleNamespace(content=SimpleNamespace(readany=comes.get))
        chunks = front_module._chunks(answer)  # type: ignore[arg-type]

        async def read() -> None:
            async for _ in chunks:
                pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        comes.put_nowait(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading}, timeout=1)
        ended = reading.done()
        reading.cancel()
        await asyncio.wait({reading})
        assert ended

    asyncio.run(scene())
