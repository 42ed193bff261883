"""Watches the requests of one front. Reading answers is the work of a thread of its own, so no answer waits for it.

Answers beyond what the thread can keep up with aren't read, and are counted.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Self

from topcoat.usage.capture.observing.figures import answer_figures
from topcoat.usage.capture.observing.metrics import Metrics
from topcoat.usage.capture.observing.observation import Observation, kind_of, observing

__all__ = ["Observer"]

_MOST_WAITING = 64_000_000
"""Bytes of the exchanges that wait to be read."""
_END_SECONDS = 2.0


class Observer:
    """Watches while it is entered."""

    def __init__(self) -> None:
        self.metrics = Metrics(version("topcoat"))
        self._waiting: deque[Observation] = deque()
        self._bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="topcoat-observer", daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Read what waits, for two seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        await asyncio.to_thread(self._thread.join, _END_SECONDS)

    @contextmanager
    def watch(self, method: str, path: str) -> Iterator[Observation]:
        """Watch a request that this task handles in the block. Set the observation's `code` and `model`."""
        seen = Observation(kind_of(method, path))
        self.metrics.begun()
        try:
            with observing(seen):
                yield seen
        finally:
            self.metrics.ended(seen)
            self._put(seen)

    def _put(self, seen: Observation) -> None:
        size = _size(seen)
        with self._changed:
            if self._bytes + size <= _MOST_WAITING:
                self._waiting.append(seen)
                self._bytes += size
                self._changed.notify_all()
                return
        self.metrics.unread(seen)

    def _work(self) -> None:
        while (seen := self._next()) is not None:
            if seen.exchange is None:
                continue
            try:
                self.metrics.read(seen, answer_figures(seen.exchange))
            except Exception:  # a server may send anything, and the recorder says what it can't read
                self.metrics.unread(seen)

    def _next(self) -> Observation | None:
        """The next observation; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            seen = self._waiting.popleft()
            self._bytes -= _size(seen)
            return seen


def _size(seen: Observation) -> int:
    return len(seen.exchange.request) + len(seen.exchange.response) if seen.exchange else 0
