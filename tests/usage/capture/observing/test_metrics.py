"""The metrics of the front over real sockets, read as Prometheus reads them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from tests.support.usage.front import CHAT, HELLO, Answer, request, streamed, whole, world
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.observing import observer as observer_module

Labels = frozenset[tuple[str, str]]
SECRET = "3c0b1f7e"


def answered(*finishes: str, usage: dict[str, Any] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        choices = [
            {"index": place, "message": {"role": "assistant", "content": SECRET}, "finish_reason": finish}
            for place, finish in enumerate(finishes)
        ]
        return web.json_response({"choices": choices, "model": SECRET, **({"usage": usage} if usage else {})})

    return answer


async def scraped(client: ClientSession) -> dict[str, dict[Labels, float]]:
    async with client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return samples(await answer.text())


def samples(text: str) -> dict[str, dict[Labels, float]]:
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


async def until(client: ClientSession, name: str, value: float = 1.0) -> dict[str, dict[Labels, float]]:
    """The metrics, once all of `name` come to `value`: what is read of an answer comes a little after it."""
    for _ in range(200):
        found = await scraped(client)
        if sum(found.get(name, {}).values()) == value:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} is {found.get(name)}")


def labels(**given: str) -> Labels:
    return frozenset(given.items())


def play(
    tmp_path: Path, answer: Answer, scene: Callable[[ClientSession], Coroutine[Any, Any, None]], **options: Any
) -> None:
    async def begin() -> None:
        async with world(tmp_path, answer, **options) as (_, client):
            await scene(client)

    asyncio.run(begin())


def test_a_whole_answer_is_counted_with_its_tokens_and_its_end(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        for _ in range(2):
            async with client.post(CHAT, data=request(HELLO)) as answer:
                await answer.read()
        found = await until(client, "topcoat_answers_total", 4)
        asked = labels(api="chat", code="200", model="m")
        assert found["topcoat_requests_total"][asked] == 2
        assert found["topcoat_requests_in_progress"] == {labels(): 1}  # the scrape itself
        assert found["topcoat_answer_seconds_count"] == {labels(api="chat", model="m"): 2}
        assert "topcoat_first_data_seconds_count" not in found
        assert found["topcoat_tokens_total"] == {
            labels(model="m", type="input"): 14,
            labels(model="m", type="output"): 6,
        }
        assert found["topcoat_answers_total"] == {
            labels(model="m", finish="stop"): 2,
            labels(model="m", finish="other"): 2,
        }
        assert found["topcoat_exchanges_recorded_total"] == {labels(): 2}
        assert found["topcoat_exchanges_lost_total"] == {labels(): 0}

    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    play(tmp_path, answered("stop", "a reason of its own", usage=usage), scene, model="m")


def test_a_stream_has_the_time_of_its_first_data_and_of_its_tokens(tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": keepalive 1/2\n\n")
        await asyncio.sleep(0.05)
        for _ in range(5):
            await response.write(b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n')
            await asyncio.sleep(0.02)
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
        counts = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 5}}
        await response.write(f"data: {json.dumps(last)}\n\ndata: {json.dumps(counts)}\n\ndata: [DONE]\n\n".encode())
        return response

    async def scene(client: ClientSession) -> None:
        async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
            await answer.read()
        found = await until(client, "topcoat_answers_total")
        asked = labels(api="chat", model="")
        first, all_of_it = found["topcoat_first_data_seconds_sum"][asked], found["topcoat_answer_seconds_sum"][asked]
        assert 0.05 <= first < all_of_it
        assert found["topcoat_output_token_seconds_sum"][labels(model="")] == pytest.approx((all_of_it - first) / 4)
        assert found["topcoat_tokens_total"][labels(model="", type="output")] == 5
        assert found["topcoat_answers_total"] == {labels(model="", finish="length"): 1}

    play(tmp_path, slow, scene)


def test_an_answer_whose_tokens_the_server_does_not_say_is_counted_as_such(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        async with client.post(CHAT, data=request(HELLO)) as answer:
            await answer.read()
        found = await until(client, "topcoat_uncounted_answers_total")
        assert "topcoat_tokens_total" not in found
        assert found["topcoat_answers_total"] == {labels(model="", finish="stop"): 1}

    play(tmp_path, whole("hello"), scene)


def test_translated_requests_count_the_tokens_that_the_model_server_says(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        body = {"model": "x", "max_tokens": 9, "messages": [HELLO]}
        async with client.post("/v1/messages", json=body) as answer:
            assert (await answer.json())["usage"]["input_tokens"] == 7
        async with client.post("/v1/responses", json={"model": "x", "input": "hello"}) as answer:
            await answer.read()
        found = await until(client, "topcoat_answers_total", 2)
        assert found["topcoat_requests_total"][labels(api="messages", code="200", model="m")] == 1
        assert found["topcoat_requests_total"][labels(api="responses", code="200", model="m")] == 1
        assert found["topcoat_tokens_total"] == {
            labels(model="m", type="input"): 14,
            labels(model="m", type="output"): 6,
        }

    play(tmp_path, answered("stop", usage={"prompt_tokens": 7, "completion_tokens": 3}), scene, model="m")


def test_a_server_that_breaks_off_and_requests_that_fail_are_told_apart(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        with pytest.raises(ClientError):
            async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
                await answer.read()
        async with client.post(CHAT, data=b"no JSON") as answer:
            assert answer.status == 400
        async with client.post("/v1/messages", data=b"no JSON") as answer:
            assert answer.status == 400
        async with client.get(f"/{SECRET}", headers={"Host": "example.org"}) as answer:
            assert answer.status == 403
        found = await scraped(client)
        assert found["topcoat_broken_answers_total"] == {labels(api="chat", model="m"): 1}
        assert "topcoat_answer_seconds_count" not in found
        counts = found["topcoat_requests_total"]
        assert {key: counts[key] for key in counts if labels(api="metrics") - key} == {
            labels(api="chat", code="200", model="m"): 1,
            labels(api="chat", code="400", model="m"): 1,
            labels(api="messages", code="400", model="m"): 1,
            labels(api="other", code="403", model="m"): 1,
        }

    play(tmp_path, streamed({"content": "a"}, end=False), scene, model="m")


def test_a_client_that_leaves_is_no_failure_of_the_server(tmp_path: Path) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:  # until the front has gone, too
            await response.write(b"data: {}\n\n")
            await asyncio.sleep(0.01)

    async def scene(client: ClientSession) -> None:
        async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
            assert await answer.content.readany()
            answer.close()
        found = await until(client, "topcoat_broken_answers_total")
        assert found["topcoat_requests_total"][labels(api="chat", code="gone", model="m")] == 1
        assert found["topcoat_requests_in_progress"] == {labels(): 1}

    play(tmp_path, never, scene, model="m")


def test_nothing_that_a_user_or_a_model_says_is_in_the_metrics(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        said = request({"role": "user", "content": SECRET}, model=SECRET, user=SECRET, metadata={"branch": SECRET})
        async with client.post(CHAT, data=said, headers={"X-Session-Id": SECRET}) as answer:
            assert SECRET in await answer.text()
        async with client.get(f"/v1/files/{SECRET}") as answer:
            await answer.read()
        await until(client, "topcoat_answers_total")
        for accept in ("", "application/openmetrics-text", f"text/plain; version={SECRET}"):
            async with client.get("/metrics", headers={"Accept": accept}) as answer:
                assert answer.status == 200
                assert SECRET not in await answer.text() + str(answer.headers)

    play(tmp_path, answered(SECRET), scene)


def test_openmetrics_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        asked = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5"
        async with client.get("/metrics", headers={"Accept": asked}) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            families = openmetrics_families(await answer.text())  # type: ignore[no-untyped-call]
            names = {family.name for family in families}
        assert {"topcoat", "topcoat_requests", "topcoat_exchanges_recorded", "process_cpu_seconds"} <= names

    play(tmp_path, whole("hello"), scene)


def test_metrics_are_for_those_who_may_use_the_model(tmp_path: Path) -> None:
    async def scene(client: ClientSession) -> None:
        async with client.get("/metrics") as answer:
            assert answer.status == 401
        async with client.get("/metrics", headers={"Authorization": "Bearer t"}) as answer:
            assert answer.status == 200
        page = {"Authorization": "Bearer t", "Origin": "https://example.org"}
        async with client.get("/metrics", headers=page) as answer:
            assert answer.status == 403

    play(tmp_path, whole("hello"), scene, access=Access("127.0.0.1", "t"))


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"choices": 3}', b"\xff", b'{"usage": {"prompt_tokens": "many"}}'])
def test_an_answer_that_cannot_be_read_is_counted_and_handed_on(tmp_path: Path, body: bytes) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    async def scene(client: ClientSession) -> None:
        async with client.post(CHAT, data=request(HELLO)) as through:
            assert await through.read() == body
        for _ in range(200):
            found = await scraped(client)
            if "topcoat_unread_answers_total" in found or "topcoat_uncounted_answers_total" in found:
                break
            await asyncio.sleep(0.02)
        assert "topcoat_tokens_total" not in found

    play(tmp_path, answer, scene)


def test_answers_beyond_what_is_kept_to_be_read_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer_module, "_MOST_WAITING", 10)

    async def scene(client: ClientSession) -> None:
        async with client.post(CHAT, data=request(HELLO)) as answer:
            await answer.read()
        found = await scraped(client)
        assert found["topcoat_unread_answers_total"] == {labels(model=""): 1}
        assert found["topcoat_answer_seconds_count"] == {labels(api="chat", model=""): 1}

    play(tmp_path, answered("stop", usage={"prompt_tokens": 7, "completion_tokens": 3}), scene)


def test_every_metric_is_documented(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "observing.md").read_text()

    async def scene(client: ClientSession) -> None:
        async with client.get("/metrics") as answer:
            text = await answer.text()
        kinds = re.findall(r"^# TYPE (topcoat_\w+)", text, re.MULTILINE)
        assert len(kinds) > 10
        assert [name for name in kinds if f"`{name}`" not in page] == []

    play(tmp_path, whole("hello"), scene)
