"""Spans of requests at the front, as a collector gets them over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web

from tests.support.otlp_collector import Collector, SentSpan, collecting
from tests.support.usage.front import CHAT, HELLO, Answer, request, streamed, world

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel isn't installed")

SECRET = "3c0b1f7e"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made


def spans_of(
    tmp_path: Path, collector: Collector, answer: Answer, scene: Callable[[ClientSession], Awaitable[None]], **more: Any
) -> list[SentSpan]:
    async def play() -> None:
        async with world(tmp_path, answer, **more) as (made, client):
            await scene(client)
        assert not [said for said in made.said if "spans" in said]

    asyncio.run(play())
    return collector.spans


async def counted(_: web.Request) -> web.StreamResponse:
    choice = {"index": 0, "message": {"role": "assistant", "content": SECRET}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})


def test_an_answer_is_a_span_of_the_genai_conventions(tmp_path: Path, collector: Collector) -> None:
    async def scene(client: ClientSession) -> None:
        said = request({"role": "user", "content": SECRET}, model=SECRET, user=SECRET, temperature=0.7, max_tokens=99)
        parent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "X-Session-Id": SECRET}
        async with client.post(CHAT, data=said, headers=parent) as answer:
            assert SECRET in await answer.text()
        for path in ("/health", "/metrics", "/v1/models", f"/{SECRET}"):
            async with client.get(path) as answer:
                await answer.read()

    (span,) = spans_of(tmp_path, collector, counted, scene, model="phase34a-1")
    assert (span.name, span.kind, span.failed) == ("chat phase34a-1", 2, False)
    assert (span.trace, span.parent) == (b"\xab" * 16, b"\xcd" * 8)
    assert span.start < span.end
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "topcoat",
        "gen_ai.request.model": "phase34a-1",
        "gen_ai.response.model": "phase34a-1",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.stream": False,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "http.response.status_code": 200,
        "topcoat.api": "chat",
    }
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_other_apis_are_chats_too_and_mistakes_of_clients_no_faults(tmp_path: Path, collector: Collector) -> None:
    async def scene(client: ClientSession) -> None:
        async with client.post("/v1/messages", json={"model": "x", "max_tokens": 9, "messages": [HELLO]}) as answer:
            assert answer.status == 200
        async with client.post("/v1/responses", data=b"no JSON") as answer:
            assert answer.status == 400

    first, second = spans_of(tmp_path, collector, counted, scene, model="m")
    assert (first.name, first.attributes["topcoat.api"], first.attributes["gen_ai.usage.output_tokens"]) == (
        "chat m",
        "messages",
        3,
    )
    assert (second.attributes["http.response.status_code"], second.failed) == (400, False)


def test_a_stream_that_breaks_off_is_a_fault(tmp_path: Path, collector: Collector) -> None:
    async def scene(client: ClientSession) -> None:
        with pytest.raises(ClientError):
            async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
                await answer.read()

    (span,) = spans_of(tmp_path, collector, streamed({"content": "a"}, end=False), scene, model="m")
    assert span.failed
    assert span.attributes["error.type"] == "broken"
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] <= (span.end - span.start) / 1e9


def test_numbers_that_no_span_can_have_and_a_parent_that_is_none_are_left_out(
    tmp_path: Path, collector: Collector
) -> None:
    async def scene(client: ClientSession) -> None:
        body = request(HELLO, temperature=10**40, top_p=float("nan"), max_tokens=True, n=1)
        async with client.post(CHAT, data=body, headers={"traceparent": "00-ab-cd"}) as answer:
            await answer.read()

    (span,) = spans_of(tmp_path, collector, counted, scene)
    asked = {key: value for key, value in span.attributes.items() if key.startswith("gen_ai.request")}
    assert asked == {"gen_ai.request.stream": False, "gen_ai.request.choice.count": 1}
    assert span.parent == b""
    assert span.name == "chat"
