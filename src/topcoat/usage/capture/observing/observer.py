"""Watches the requests of one front. Reading answers is the work of a thread of its own, so no answer waits for it.

Answers beyond what the thread can keep up with aren't read, and are counted.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Self

from topcoat.telemetry.tracing import tracing
from topcoat.usage.capture.observing.figures import AnswerFigures, answer_figures
from topcoat.usage.capture.observing.metrics import Metrics
from topcoat.usage.capture.observing.observation import Observation, kind_of, observing
from topcoat.usage.capture.observing.spans import add_span

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["Observer"]

_MOST_WAITING = 64_000_000
"""Bytes of the exchanges that wait to be read."""
_END_SECONDS = 2.0


class Observer:
    """Watches while it is entered. `say` is told if spans can't be sent."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.metrics = Metrics(version("topcoat"))
        self._tracing = tracing(say)
        self._tracer: Tracer | None = None
        self._waiting: deque[Observation] = deque()
        self._bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="topcoat-observer", daemon=True)

    async def __aenter__(self) -> Self:
        self._tracer = self._tracing.__enter__()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Read what waits, for two seconds at most, and send the last spans."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        await asyncio.to_thread(self._thread.join, _END_SECONDS)
        await asyncio.to_thread(self._tracing.__exit__, None, None, None)

    @contextmanager
    def watch(self, method: str, path: str, parent: str) -> Iterator[Observation]:
        """Watch a request that this task handles in the block. Set the observation's `code` and `model`."""
        seen = Observation(kind_of(method, path), parent)
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
            figures = self._read(seen)
            if self._tracer is not None:
                add_span(self._tracer, seen, figures)

    def _read(self, seen: Observation) -> AnswerFigures | None:
        """Count what an answer says. None if there is no answer, or none that can be read."""
        if seen.exchange is None:
            return None
        try:
            figures = answer_figures(seen.exchange)
        except Exception:  # a server may send anything, and the recorder says what it can't read
            self.metrics.unread(seen)
            return None
        self.metrics.read(seen, figures)
        return figures

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
