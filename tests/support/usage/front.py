"""The front over real sockets, before a server that answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from topcoat.spec.project import SHAPES, CaptureSection
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.apis.notes import Notes
from topcoat.usage.capture.candidate.canary import Canary
from topcoat.usage.capture.candidate.trying import Tried
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.front import Front, listening
from topcoat.usage.capture.recorder import Recorder
from topcoat.usage.capture.served.door import Door, TokenCounter, Upstream
from topcoat.usage.capture.serving import exchange_events
from topcoat.usage.events import Event
from topcoat.usage.log import EventLog
from topcoat.usage.privacy.digests import DialogueDigests

__all__ = ["CHAT", "HELLO", "Answer", "World", "request", "streamed", "whole", "world"]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def whole(content: str, **message: Any) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        said = {"role": "assistant", "content": content, **message}
        return web.json_response({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})

    return answer


def streamed(*deltas: dict[str, Any], end: bool = True, pause: float = 0.0) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": keepalive 1/2\n\n")
        for delta in deltas:
            await asyncio.sleep(pause)
            data = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
            await response.write(b"data: " + data[:9])  # a chunk may end anywhere
            await response.write(data[9:] + b"\n\n")
        if end:
            last = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            await response.write(f"data: {last}\n\ndata: [DONE]\n\n".encode())
        return response

    return answer


class World:
    """A front, the server behind it, and what the front recorded."""

    def __init__(
        self, folder: Path, capture: CaptureSection = SHAPES, offer: Callable[[Exchange], object] = id
    ) -> None:
        self.path = folder / "events.db"
        self.folder = folder
        self.capture = capture
        self.offer = offer
        self.recorder = Recorder(self.path, capture=capture)
        self.digests = DialogueDigests(folder / "dialogue.key")
        self.asked: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.said: list[str] = []
        self.url = ""
        self.upstream = ""

    def record(self, exchange: Exchange) -> Future[None]:
        self.offer(exchange)
        named = replace(exchange, model=exchange.model or "m")
        return self.recorder.put(
            lambda s: exchange_events(named, s, self.digests, repository=self.folder, results=self.capture.results),
            1,
        )

    def events(self) -> list[Event]:
        assert self.recorder.close().lost == 0
        with EventLog(self.path) as log:
            return list(log.events())


@asynccontextmanager
async def world(
    folder: Path,
    answer: Answer,
    *,
    access: Access | None = None,
    model: str = "",
    capture: CaptureSection = SHAPES,
    count: TokenCounter | None = None,
    offer: Callable[[Exchange], object] = id,
    canary: Canary | None = None,
) -> AsyncIterator[tuple[World, ClientSession]]:
    made = World(folder, capture, offer)

    async def handle(request: web.Request) -> web.StreamResponse:
        made.asked.append((dict(request.headers), await request.read()))
        made.paths.append(request.raw_path)
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    door = Door(Upstream(made.upstream, {"X-Key": "k"}, model, count))
    notes, tried = Notes(made.said.append), Tried(canary=canary)
    front = Front(door, access or Access("127.0.0.1"), made.record, made.recorder.figures, notes, tried=tried)
    try:
        async with listening(front, 0) as port, ClientSession(f"http://127.0.0.1:{port}") as client:
            made.url = f"http://127.0.0.1:{port}"
            yield made, client
    finally:
        await runner.cleanup()
        made.recorder.close()


def request(*messages: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"messages": messages, **fields}).encode()


CHAT = "/v1/chat/completions"
HELLO = {"role": "user", "content": "hello"}
