"""One request at the front, as it is watched: what was asked, how long it took, how it ended.

The front handles a request in one task, so its observation is found in that task's context.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from topcoat.usage.capture.apis.table import COUNT_PATH, api_at
from topcoat.usage.capture.exchange import Exchange

__all__ = ["GONE", "Observation", "data_seen", "kind_of", "observing", "shown"]

GONE = "gone"
"""The code of a request whose client left before its answer's end."""
_KINDS = {
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/chat/completions"): "chat",
    ("POST", "/v1/completions"): "completions",
    ("POST", COUNT_PATH): "count_tokens",
    ("GET", "/v1/models"): "models",
    ("GET", "/health"): "health",
    ("GET", "/metrics"): "metrics",
}


@dataclass(slots=True)
class Observation:
    """A request of the kind `api`. `first` and `seconds` are seconds from its begin: to the first data, to the end.

    `first` is None if the answer isn't streamed. `code` is the status of the answer. `exchange` is None if there is no
    answer of a model. `at` is the time of the begin in nanoseconds since 1970. `parent` is what the client says of its
    own span, as W3C's `traceparent`.
    """

    api: str
    parent: str = ""
    model: str = ""
    code: str = GONE
    exchange: Exchange | None = None
    first: float | None = None
    seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    at: int = field(default_factory=time.time_ns)


_CURRENT: ContextVar[Observation | None] = ContextVar("observation", default=None)


@contextmanager
def observing(seen: Observation) -> Iterator[None]:
    """Make `seen` the observation of the request that this task handles in the block. At its end, it has its times."""
    token = _CURRENT.set(seen)
    try:
        yield
    except Exception:
        seen.code = "500"
        raise
    finally:
        _CURRENT.reset(token)
        seen.seconds = time.perf_counter() - seen.began
        if seen.exchange is None or not seen.exchange.streamed:
            seen.first = None


def data_seen(chunk: bytes) -> None:
    """Tell the observation of this task's request a chunk of the answer. Comments of a stream are no data."""
    seen = _CURRENT.get()
    if seen is not None and seen.first is None and b"data:" in chunk:
        seen.first = time.perf_counter() - seen.began


def shown(record: Callable[[Exchange], Future[None]]) -> Callable[[Exchange], Future[None]]:
    """A `record` that also tells each exchange to the observation of its request."""

    def tell(exchange: Exchange) -> Future[None]:
        if (seen := _CURRENT.get()) is not None:
            seen.exchange = exchange
        return record(exchange)

    return tell


def kind_of(method: str, path: str) -> str:
    """The kind of a request. There are few: a path may hold anything."""
    api = api_at(path) if method == "POST" else None
    return api.name if api else _KINDS.get((method, path), "other")
