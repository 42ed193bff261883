"""The door between the front and the model servers: which server answers a request, and how long a request waits.

A request enters once, and the server that it entered to answers all of it. So a server that no longer stands at the
door ends its answers, and can be ended when the last one is gone. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from topcoat.engine.protocol import Message, Tools

__all__ = ["LONGEST_WAIT", "Closed", "Door", "TokenCounter", "Upstream"]

LONGEST_WAIT = 120.0
"""Seconds that a request waits for a server at most, unless the user says otherwise."""
_SOONEST, _LATEST = 1, 60
"""The limits of `Retry-After`, in seconds. OpenAI's client heeds it up to a minute."""

TokenCounter = Callable[[Sequence[Message], Tools], int]
"""Gives the number of tokens of messages and tools, as the model's chat template writes them."""


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """The server with the model. `headers` are added to each request. `model` is set if topcoat started the server.

    Such a server would load any model that a request names, so the front names the loaded model in every request.
    `count` counts tokens with the model's tokenizer, if topcoat knows it.
    """

    url: str
    headers: Mapping[str, str]
    model: str = ""
    count: TokenCounter | None = None


class Closed(Exception):
    """No server came to the door in time. `seconds` is when to ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the model is being exchanged: ask again in {seconds} s")
        self.seconds = seconds


class Door:
    """Gives each request the server that stands at the door, or lets it wait for one. All of it is one loop's.

    `model` is the name of the server's model; while no server is there, of the last one's. `waiting` requests wait now.
    `waited` did or do since the door was closed last, and `refused` of these waited in vain.
    """

    def __init__(self, upstream: Upstream | None = None, *, longest_wait: float = LONGEST_WAIT) -> None:
        self.upstream: Upstream | None = None
        self.model = ""
        self.waiting = self.waited = self.refused = 0
        self._longest_wait = longest_wait
        self._opened = asyncio.Event()
        self._expected = math.inf
        self._running: Counter[Upstream] = Counter()
        self._empty: dict[Upstream, asyncio.Event] = {}
        if upstream is not None:
            self.open(upstream)

    def open(self, upstream: Upstream) -> None:
        """Give new requests, and those that wait, to `upstream`. Those that run stay where they are."""
        self.upstream, self.model = upstream, upstream.model
        self._opened.set()

    def close(self, seconds: float) -> None:
        """Let new requests wait. A server is expected in `seconds`."""
        self.upstream = None
        self.waited = self.refused = 0
        self._opened.clear()
        self._expected = time.monotonic() + seconds

    @asynccontextmanager
    async def enter(self, other: Upstream | None = None) -> AsyncIterator[Upstream]:
        """The server that answers a request, as long as the block lasts: `other`, or the one at the door.

        Raises `Closed`.
        """
        upstream = other or self.upstream or await self._next()
        self._running[upstream] += 1
        try:
            yield upstream
        finally:
            self._running[upstream] -= 1
            if not self._running[upstream]:
                del self._running[upstream]
                if upstream in self._empty:
                    self._empty.pop(upstream).set()

    def running(self, upstream: Upstream) -> int:
        """How many requests entered to `upstream` and are not over."""
        return self._running[upstream]

    async def empty(self, upstream: Upstream) -> None:
        """Wait until every request that entered to `upstream` is over. It must no longer stand at the door."""
        if self._running[upstream]:
            await self._empty.setdefault(upstream, asyncio.Event()).wait()

    async def _next(self) -> Upstream:
        self.waiting += 1
        self.waited += 1
        try:
            async with asyncio.timeout(self._longest_wait):
                while self.upstream is None:  # the door may close again before a request that waited is woken
                    await self._opened.wait()
            return self.upstream
        except TimeoutError:
            self.refused += 1
            left = self._expected - time.monotonic()
            raise Closed(math.ceil(min(max(left, _SOONEST), _LATEST))) from None
        finally:
            self.waiting -= 1
