"""Asks a candidate what clients ask production, and compares the two answers. No client sees the candidate's.

Nothing waits for it: an exchange is offered when its answer is over, and goes into a short queue or is dropped and
counted. The candidate answers one request at a time, so it takes no more of the machine than one client would.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from topcoat.errors import StorageFault
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import canonical_json
from topcoat.store.files import append_line
from topcoat.usage.capture.apis.chat_request import for_our_model, object_in
from topcoat.usage.capture.apis.table import CHAT_PATH, api_named
from topcoat.usage.capture.candidate.answers import ReadAnswer, read_answer, same_calls
from topcoat.usage.capture.candidate.chosen import is_chosen
from topcoat.usage.capture.candidate.records import ShadowAnswer, ShadowFigures, ShadowPair, with_pair
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.served.loading import Loaded

__all__ = ["Shadow", "shadowing"]

_MOST_WAITING = 32
_MOST_BYTES = 64_000_000
_LONGEST_ANSWER = 600.0
_TIMED = 1_000


@asynccontextmanager
async def shadowing(candidate: Loaded, share: float, agent: Agent, path: Path, sink: Sink) -> AsyncIterator[Shadow]:
    """Let `candidate` answer a `share` of what is offered during the block, and write a line a pair to `path`.

    At the end, what waits is dropped, and the figures are said.
    """
    shadow = Shadow(candidate, share, agent, path, sink)
    work = asyncio.create_task(shadow.work())
    try:
        yield shadow
    finally:
        work.cancel()
        await asyncio.wait({work})
        shadow.close()
        if not work.cancelled():
            work.result()


class Shadow:
    """One candidate's answers beside those of production. All of it is one loop's."""

    def __init__(self, candidate: Loaded, share: float, agent: Agent, path: Path, sink: Sink) -> None:
        """`agent` says what calls are valid. `path` is the file of pairs."""
        self.figures = ShadowFigures(candidate=candidate.name, share=share)
        self._candidate = candidate
        self._agent = agent
        self._path = path
        self._sink = sink
        self._waiting: asyncio.Queue[tuple[Exchange, float]] = asyncio.Queue(_MOST_WAITING)
        self._bytes = 0
        self._seconds: deque[tuple[float, float]] = deque(maxlen=_TIMED)
        self._over = False
        self._told: set[str] = set()

    def offer(self, exchange: Exchange) -> None:
        """Take an exchange that is over, if it belongs to the share. Returns at once."""
        if not exchange.whole or exchange.model == self._candidate.name:
            return
        if not is_chosen(exchange.request, self.figures.share, self._candidate.name):
            return
        size = len(exchange.request) + len(exchange.response)
        if self._over or self._waiting.full() or self._bytes + size > _MOST_BYTES:
            self._count("dropped")
            return
        self._bytes += size
        self._waiting.put_nowait((exchange, (datetime.now(UTC) - exchange.time).total_seconds()))

    async def work(self) -> None:
        """Answer and compare what waits, until the candidate's server ends or this is cancelled."""
        died = asyncio.create_task(self._candidate.server.died())
        answering = asyncio.create_task(self._answer_all())
        try:
            await asyncio.wait({died, answering}, return_when=asyncio.FIRST_COMPLETED)
            if died.done():
                self._over = True
                self._say(f"{self._candidate.name} answers no more: {died.result().message}", warning=True)
            else:
                answering.result()
        finally:
            died.cancel()
            answering.cancel()
            await asyncio.wait({died, answering})  # a line that is begun is written and counted

    def close(self) -> None:
        """Drop what waits, and say what became of all that was chosen."""
        self._over = True
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._count("dropped")
        for line in said(self.figures):
            self._say(line)

    async def _answer_all(self) -> None:
        headers = dict(self._candidate.upstream.headers)
        async with httpx2.AsyncClient(headers=headers, timeout=_LONGEST_ANSWER) as client:
            while True:
                exchange, seconds = await self._waiting.get()
                try:
                    pair = await self._pair(exchange, seconds, client)
                except asyncio.CancelledError:
                    self._count("dropped")
                    raise
                finally:
                    self._bytes -= len(exchange.request) + len(exchange.response)
                if pair is not None:
                    await _to_its_end(self._store(pair))

    async def _pair(self, exchange: Exchange, seconds: float, client: httpx2.AsyncClient) -> ShadowPair | None:
        """Both answers, or none where the candidate's doesn't come or can't be read, which is counted."""
        begun = asyncio.get_running_loop().time()
        try:
            path, body = await asyncio.to_thread(_request, exchange)
            answer = await client.post(self._candidate.upstream.url + path, content=body)
            answer.raise_for_status()
        except (httpx2.HTTPError, ValueError, RecursionError) as error:
            self._count("failed")
            self._tell_once(f"{self._candidate.name} doesn't answer what production answers ({type(error).__name__})")
            return None
        took = asyncio.get_running_loop().time() - begun
        streamed = answer.headers.get("content-type", "").startswith("text/event-stream")
        other = replace(exchange, response=answer.content, streamed=streamed, answered="chat")
        try:
            shown, hidden = await asyncio.to_thread(self._read, exchange, other)
            return ShadowPair(
                at=exchange.time,
                production=exchange.model,
                candidate=self._candidate.name,
                same=same_calls(shown, hidden),
                shown=_answer_record(shown, seconds),
                hidden=_answer_record(hidden, took),
            )
        except Exception as error:  # a client and a model may write anything; the next pair is read all the same
            self._count("unread")
            self._tell_once(f"a pair of answers can't be compared ({type(error).__name__})")
            return None

    async def _store(self, pair: ShadowPair) -> None:
        try:
            await asyncio.to_thread(append_line, self._path, canonical_json(pair.model_dump(mode="json")))
        except StorageFault as error:
            self._count("unread")
            self._tell_once(f"pairs of answers aren't stored: {error.message}")
        else:
            self._seconds.append((pair.shown.seconds, pair.hidden.seconds))
            self.figures = with_pair(self.figures, pair, list(self._seconds))

    def _read(self, exchange: Exchange, other: Exchange) -> tuple[ReadAnswer, ReadAnswer]:
        return read_answer(exchange, self._agent), read_answer(other, self._agent)

    def _count(self, what: str) -> None:
        self.figures = self.figures.model_copy(update={what: getattr(self.figures, what) + 1})

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text, warning=True)

    def _say(self, text: str, *, warning: bool = False) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._sink.emit(Note(text, warning=warning))


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; if this is cancelled meanwhile, the cancellation waits until `work` is done."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await working
        raise


def said(figures: ShadowFigures) -> list[str]:
    """The figures in words, a line each."""
    lines = [
        f"{figures.candidate} answered {counted(figures.pairs, 'request')} unseen: the same calls in {figures.same}"
        f" ({figures.calling} with a call), valid calls in {figures.valid_hidden} of its {figures.calls_hidden}"
        f" answers with a call; production's in {figures.valid_shown} of {figures.calls_shown}"
    ]
    if figures.seconds_shown is not None:
        lines.append(
            f"half of its answers took {figures.seconds_hidden:.2f} s at most, and of production's"
            f" {figures.seconds_shown:.2f} s"
        )
    for number, what in (
        (figures.dropped, "not asked, because too many waited or it ended before"),
        (figures.failed, "not answered"),
        (figures.unread, "not compared or not stored"),
    ):
        lines += [f"{counted(number, 'request')} {what}"] if number else []
    return lines


def _request(exchange: Exchange) -> tuple[str, bytes]:
    """The path and the body with which the candidate is asked. Raises `ValueError` if it can't be asked."""
    api = api_named(exchange.asked)
    if api is not None:
        return CHAT_PATH, api.translate(exchange.request, "default_model").body
    path = CHAT_PATH if "messages" in object_in(exchange.request) else "/v1/completions"
    return path, for_our_model(exchange.request)


def _answer_record(read: ReadAnswer, seconds: float) -> ShadowAnswer:
    return ShadowAnswer(
        calls=list(read.names),
        valid=read.valid,
        faults=list(read.faults),
        finish=read.finish,
        seconds=round(seconds, 4),
    )
