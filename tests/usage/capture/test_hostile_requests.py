"""Requests over a socket that no library's client would send. None ends in a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.front import CHAT, HELLO, request, streamed, whole, world
from topcoat.spec.project import CaptureSection
from topcoat.usage import log
from topcoat.usage.capture import front
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.front import LARGEST_REQUEST
from topcoat.usage.characters import whole_characters
from topcoat.usage.events import Event
from topcoat.usage.privacy.event import cleaned_event


async def sent(url: str, target: str, headers: bytes = b"", body: bytes = b"", method: str = "POST") -> tuple[int, str]:
    """The status and the body of the answer."""
    host = url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    begin = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    writer.write(begin.encode("latin-1") + headers + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    head, _, said = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), said.decode()


def test_a_request_to_an_absolute_url_is_handed_on_by_its_path(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            status, said = await sent(made.url, f"{made.url}{CHAT}?a=%2F1", body=request(HELLO))
            assert (status, json.loads(said)["choices"][0]["message"]["content"]) == (200, "hi")
            assert made.paths == [f"{CHAT}?a=%2F1"]
            (event,) = made.events()
            assert (event.query, event.answer) == ("hello", "hi")

    asyncio.run(scene())


@pytest.mark.parametrize("target", ["http://evil.example/v1/models", "http://x@evil.example/", "http://[broken/v1"])
def test_a_whole_url_of_another_host_is_refused(tmp_path: Path, target: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            status, _ = await sent(made.url, target, method="GET")
            assert status in (400, 403)
            assert made.asked == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "/v1/\xff",
        "/v1/%ff?\xe9",
        "/v1/a b",
        "?",
        "v1/models",
        "http://",
        "/..//x#y",
        "127.0.0.1:80",
        "http://a:99999/",
    ],
)
def test_an_odd_target_is_no_fault_of_ours(tmp_path: Path, target: str) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            for method in ("GET", "OPTIONS", "CONNECT"):
                status, _ = await sent(made.url, target, method=method)
                assert status < 500

    asyncio.run(scene())


@pytest.mark.parametrize("token", [b"r\xefght", "rïght".encode(), b"\xff\xfe", b"\xed\xa0\x80"])
@pytest.mark.parametrize(
    "header", [b"Authorization: Bearer ", b"Authorization: ", b"X-Other: ", b"Origin: http://", b"X-H-\xef: "]
)
def test_a_header_beyond_ascii_is_no_fault_of_ours(tmp_path: Path, header: bytes, token: bytes) -> None:
    async def scene() -> None:
        for access in (Access("127.0.0.1"), Access("127.0.0.1", "token")):
            async with world(tmp_path, whole("hi"), access=access) as (made, _):
                status, _ = await sent(made.url, CHAT, header + token + b"\r\n", request(HELLO))
                assert status < 500

    asyncio.run(scene())


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_encoded_as_it_says_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            body = request({"role": "user", "content": "hello " * 5_000})
            status, said = await sent(made.url, CHAT, f"Content-Encoding: {encoding}\r\n".encode(), body)
            assert (status, json.loads(said)["error"]["type"]) == (400, "topcoat")
            assert made.asked == []

    asyncio.run(scene())
    assert capsys.readouterr().err == ""


def test_a_request_that_would_hold_up_the_others_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            status, said = await sent(made.url, CHAT, b"", b"[" + b"1," * (LARGEST_REQUEST // 2) + b"1]")
            assert (status, json.loads(said)["error"]["type"]) == (413, "topcoat")
            assert made.asked == []
            status, _ = await sent(made.url, CHAT, b"", request({"role": "user", "content": "still there?"}))
            assert status == 200

    asyncio.run(scene())


def test_a_malformed_request_prints_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            for header in (b" folded: sk-secret\r\n", b"Host: twice\r\n", b"Content-Length: -1\r\n"):
                status, _ = await sent(made.url, CHAT, header, request(HELLO))
                assert status == 400

    asyncio.run(scene())
    assert (caplog.text, capsys.readouterr().err) == ("", "")


def test_a_fault_of_ours_is_said_in_a_line_without_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("sk-secret")

    async def scene() -> None:
        monkeypatch.setattr(front, "_host", fails)
        async with world(tmp_path, whole("hi")) as (made, _):
            status, _ = await sent(made.url, CHAT, b"X: sk-secret\r\n", request(HELLO))
            assert status == 500

    asyncio.run(scene())
    assert capsys.readouterr().err == "a request failed by a fault of topcoat: RuntimeError\n"


@pytest.mark.parametrize("half", ["\ud83c", "\udfa8 and \ud800"])
def test_half_a_character_loses_no_exchange(tmp_path: Path, half: str) -> None:
    call = {"index": 0, "id": half, "function": {"name": "f", "arguments": json.dumps({"a": half, half: 1})}}

    async def scene() -> None:
        async with world(tmp_path, streamed({"content": f"a{half}"}, {"tool_calls": [call]})) as (made, _):
            turns: list[dict[str, Any]] = [
                {"role": "user", "content": f"q{half}"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
            ]
            turns += [{"role": "tool", "tool_call_id": half, "content": json.dumps({half: [f"Error: {half}"]})}]
            body = request(*turns, user=half)
            status, _ = await sent(made.url, CHAT, b"X-Branch: \xff\r\n", body)
            assert status == 200
            *_, asked, answered = made.events()
            assert made.recorder.figures().problem == ""
        assert asked.kind == "tool_call"
        assert asked.arguments == {"a": whole_characters(half), whole_characters(half): 1}
        assert (answered.answer or "").startswith("a\ufffd")
        assert answered.calls[0].name == "f"

    asyncio.run(scene())


def test_a_character_in_two_pieces_is_a_character(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, streamed({"content": "\ud83c"}, {"content": "\udfa8"})) as (made, _):
            await sent(made.url, CHAT, body=request(HELLO))
            (event,) = made.events()
        assert event.answer == "🎨"

    asyncio.run(scene())


def test_a_request_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="m") as (made, _):
            status, _ = await sent(made.url, CHAT, body=b"[" * 200_000)
            assert (status, made.asked) == (400, [])

    asyncio.run(scene())


def test_secrets_are_removed_in_the_thread_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def watched(event: Event, capture: CaptureSection) -> Event:
        threads.append(threading.current_thread().name)
        return cleaned_event(event, capture)

    monkeypatch.setattr(log, "cleaned_event", watched)

    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            await sent(made.url, CHAT, body=request(HELLO))
            made.events()

    asyncio.run(scene())
    assert threads == ["topcoat-recorder"]


def test_a_compressed_request_is_handed_on_as_it_was_read(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            body = gzip.compress(request(HELLO))
            status, _ = await sent(made.url, CHAT, b"Content-Encoding: gzip\r\n", body)
            ((headers, handed_on),) = made.asked
            assert (status, handed_on) == (200, request(HELLO))
            assert "content-encoding" not in {key.lower() for key in headers}

    asyncio.run(scene())


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"role": "sk-swordfish", "content": "x"}]}',
        b'{"messages": [{"sk-swordfish": 1}]}',
        b'{"messages": "sk-swordfish"}',
        b"sk-swordfish",
    ],
)
def test_what_cannot_be_read_is_said_without_its_words(tmp_path: Path, body: bytes) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, _):
            await sent(made.url, CHAT, body=body)
            figures = made.recorder.close()
            assert figures.lost == 1
            assert figures.problem.startswith("an exchange is")
            assert "swordfish" not in figures.problem

    asyncio.run(scene())
