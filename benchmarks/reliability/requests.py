"""Hostile requests at the front of `topcoat serve`, before a server that answers as badly: none ends in a 500.

The front is a process of its own. At the end an ordinary exchange passes and is stored, and the process ends well.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.reliability.projects import make_project
from benchmarks.reliability.tally import Tally
from tests.support.usage.serving import serving
from topcoat.usage.importing import open_log

__all__ = ["try_requests"]

_CHAT = "/v1/chat/completions"
_SECONDS = 20.0
_TARGETS = (
    _CHAT, _CHAT, _CHAT, "/v1/completions", "/chat/completions", "/v1/models", "/health", "*", "/v1/\xff",
    "?", "/a b", "http://evil.example/v1", "/" + "a" * 20_000, "/%00", "//x", "/..//x#y", "http://[x/",
    "/v1/chat/completions?a=%2F",
)  # fmt: skip
_HEADERS = (
    b"", b"", b"", b"Content-Encoding: gzip\r\n", b"Content-Type: text/plain; charset=\xff\r\n",
    b"Expect: 100-continue\r\n", b"Host: evil.example\r\n", b"Origin: http://evil.example\r\n",
    b"Authorization: Bearer \xef\r\n", b"X-Session-Id: \xff\xfe\r\n", b"X-Branch: ../../etc\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"TE: trailers\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"X: " + b"a" * 9_000 + b"\r\n", b"Cookie: a\x00b\r\n",
    b" folded: x\r\n", b"X-Session-Id: a\r\n" * 300, b"Range: bytes=0-\r\n",
)  # fmt: skip
_METHODS = (
    "POST",
    "POST",
    "POST",
    "POST",
    "POST",
    "GET",
    "OPTIONS",
    "PUT",
    "DELETE",
    "CONNECT",
    "HEAD",
    "BREW",
    "\xff",
)
_ODD: tuple[Any, ...] = (
    None, True, -1, 1e308, "", "x" * 100_000, "token=a1" * 20_000, "\ud800", "\x00", [], {}, [[]],
    {"role": "user"}, 10**400, [None], {"content": None}, "<tool_call>{" * 5_000, [{"type": "text"}],
    {"a": {"b": [{}] * 100}}, "</tool_response>" * 5000,
)  # fmt: skip
_CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}


def try_requests(tally: Tally, seed: int) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        make_project(project)
        asyncio.run(_campaign(tally, rng, project))
        with open_log(project) as log:
            found = [event for event in log.events() if event.query == "an ordinary question"]
        if not found:
            tally.fault("the ordinary exchange at the end was not stored")


async def _campaign(tally: Tally, rng: random.Random, project: Path) -> None:
    behind = await asyncio.start_server(lambda r, w: _answer(r, w, rng), "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{behind.sockets[0].getsockname()[1]}"
    with serving(project, "--upstream", upstream) as running:
        host, port = running.url.removeprefix("http://").removesuffix("/v1").split(":")
        for number in range(tally.planned):
            raw, complete = _request(rng, f"{host}:{port}")
            status = await _sent(host, int(port), raw, complete=complete, leaves=rng.random() < 0.1)
            if running.process.poll() is not None:
                tally.fault(f"request {number}: the server ended: {''.join(running.printed)[-500:]}: {raw[:300]!r}")
                return
            if status in ("500", "no answer in time"):
                tally.fault(f"request {number}: {status}: {raw[:300]!r}")
            tally.note(status)
        ordinary = json.dumps({"messages": [{"role": "user", "content": "an ordinary question"}]}).encode()
        head = (
            f"POST {_CHAT} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Length: {len(ordinary)}\r\n"
        )
        status = await _sent(host, int(port), head.encode() + b"X-Ordinary: 1\r\n\r\n" + ordinary)
        if status != "200":
            tally.fault(f"the ordinary exchange at the end: {status}")
        code = await asyncio.to_thread(running.end)
        said = "".join(running.printed)
        if code or "Traceback" in said:
            tally.fault(f"the server ended with {code}: {said[-1000:]}")
        print(said[-300:], file=sys.stderr)
    behind.close()


def _request(rng: random.Random, host: str) -> tuple[bytes, bool]:
    """The bytes of a request, and whether the server can tell where they end."""
    if rng.random() < 0.08:
        return rng.randbytes(rng.choice((1, 30, 5_000))), False
    body = _body(rng)
    version = rng.choice(("1.1", "1.1", "1.1", "1.0", "9.9"))
    head = f"{rng.choice(_METHODS)} {rng.choice(_TARGETS)} HTTP/{version}\r\n".encode("latin-1")
    head += b"" if rng.random() < 0.05 else f"Host: {host}\r\n".encode()
    odd = b"".join(rng.choice(_HEADERS) for _ in range(rng.choice((0, 0, 0, 1, 1, 2))))
    length = len(body) if rng.random() < 0.9 else rng.choice((0, len(body) + 50, len(body) // 2))
    raw = head + b"Connection: close\r\n" + odd + f"Content-Length: {length}\r\n\r\n".encode() + body
    complete = length == len(body) and not any(
        word in odd for word in (b"chunked", b"Expect", b"Content-L", b"upgrade")
    )
    if rng.random() < 0.1:
        at = rng.randrange(len(raw))
        return raw[:at] + rng.randbytes(3) + raw[at + 3 :], False
    return (raw[: rng.randrange(len(raw))], False) if rng.random() < 0.05 else (raw, complete)


def _body(rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        return rng.choice(
            (b"", b"{", b"[" * 50_000, b"null", b"\xff\xfe", b"0" * 10_000, rng.randbytes(100), b'{"messages": 1}')
        )
    turns: list[Any] = [{"role": "user", "content": "hello"}, {"role": "assistant", "tool_calls": [_CALL]}]
    turns += [{"role": "tool", "tool_call_id": "c", "content": "x"}] * rng.choice((1, 1, 200))
    document: dict[str, Any] = {"messages": turns, "stream": rng.random() < 0.5, "metadata": {"session": "s"}}
    for _ in range(rng.randint(0, 4)):
        holder: Any = rng.choice([document, *turns])
        if isinstance(holder, dict):
            key = rng.choice([*holder, "name", "user", "prompt", "model", "content", "reasoning", "tools"])
            holder[key] = rng.choice(_ODD)
    try:
        return json.dumps(document, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")
    except ValueError:
        return b"{}"


async def _sent(host: str, port: int, raw: bytes, *, complete: bool = True, leaves: bool = False) -> str:
    """The status of the answer.

    After bytes without an end the connection is half closed, which aiohttp takes for a client that leaves.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(raw)
            if leaves:
                await writer.drain()
                writer.transport.abort()
                return "the client left"
            if not complete:
                writer.write_eof()
            answer = await reader.read()
            writer.close()
    except TimeoutError:
        return "no answer in time"
    except OSError:
        return "connection closed"
    return answer.split(b" ", 2)[1].decode("latin-1") if answer.startswith(b"HTTP/") else "connection closed"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
    """What the server behind the front answers: ordinary, broken in many ways, or not at all."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        good = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}).encode()
        writer.write(_whole(good) if b"X-Ordinary" in head else _odd_answer(rng, good))
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    writer.close()


def _whole(body: bytes, kind: str = "application/json", length: int | None = None, more: bytes = b"") -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {size}\r\n"
    return head.encode() + more + b"\r\n" + body


def _odd_answer(rng: random.Random, good: bytes) -> bytes:
    deltas: list[Any] = [{"content": "a"}, {"tool_calls": [_CALL]}, {"tool_calls": [{**_CALL, "index": 3_000_000}]}]
    deltas += [{"content": rng.choice(_ODD)}, {"tool_calls": rng.choice(_ODD)}, rng.choice(_ODD)]
    chunks = [
        {"choices": [{"index": rng.choice((0, 0, 1, -1, 10**9, "x")), "delta": rng.choice(deltas)}]} for _ in range(20)
    ]
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    message = {
        "choices": [{"message": {"role": "assistant", "content": rng.choice(_ODD), "tool_calls": rng.choice(_ODD)}}]
    }
    return rng.choice(
        (
            _whole(good),
            _whole(json.dumps(message).encode()),
            _whole(stream, "text/event-stream"),
            _whole(stream, "text/event-stream"),
            _whole(stream[: rng.randrange(len(stream))], "text/event-stream", len(stream)),
            _whole(b"[" * 20_000),
            _whole(b"data: " + b"[" * 20_000 + b"\n\n", "text/event-stream"),
            _whole(good, length=len(good) + 100),
            _whole(good, more=b"Content-Encoding: gzip\r\n"),
            _whole(b"\xff\xfe", "text/event-stream; charset=x"),
            b"HTTP/1.1 999 Odd\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"SSH-2.0\r\n",
            b"",
        )
    )
