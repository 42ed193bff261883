"""The tracer, which sends spans over HTTP in batches of OpenTelemetry's own SDK. Work never waits for the collector.

Its queue holds 2048 spans at most. The variables are OpenTelemetry's: OTEL_EXPORTER_OTLP_ENDPOINT and its relatives.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

__all__ = ["tracing"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_END_SECONDS = 5.0
"""How long the end of the work waits for the last spans."""


@contextmanager
def tracing(say: Callable[[str], None]) -> Iterator[Tracer | None]:
    """A tracer during the block. None if no collector is named, or if the SDK isn't installed, which is said.

    `say` is also told the first failure to send spans, from another thread, and at the end how many there were.
    """
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not any(os.environ.get(name) for name in _ENDPOINTS):
        yield None
        return
    try:
        provider = _provider()
    except ImportError:
        pip = f"{shlex.quote(sys.executable)} -m pip install 'topcoat[otel]'"
        say(f"no spans are sent, because OpenTelemetry isn't installed: {pip}")
        yield None
        return
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        say(f"spans are sent as {_PROTOCOL}, not as {protocol}")
    logger, failures = logging.getLogger("opentelemetry"), _Failures(say)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(failures)
    try:
        yield provider.get_tracer("topcoat", version("topcoat"))
    finally:
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_END_SECONDS)
        logger.removeHandler(failures)
        logger.propagate = propagated
        failures.say_the_rest(in_time=not ending.is_alive())


def _provider() -> TracerProvider:
    """Raises ImportError if the SDK or its exporter isn't installed."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "") or os.environ.get("OTEL_SERVICE_NAME")
    provider = TracerProvider(
        resource=Resource.create({} if named else {"service.name": "topcoat"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class _Failures(logging.Handler):
    """What the SDK logs. The first warning is said, the others are counted."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._count += 1
        if self._count == 1:
            lines = record.getMessage().splitlines()
            self._say(f"spans aren't sent: {lines[0][:300] if lines else record.levelname}")

    def say_the_rest(self, *, in_time: bool) -> None:
        if not in_time:
            self._say(f"the last spans weren't sent in {_END_SECONDS:g} s")
        if self._count > 1:
            self._say(f"OpenTelemetry warned {self._count} times in all while spans were sent")
