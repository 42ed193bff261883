"""Makes spans of what long work reports: one for the command, and one for each of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from topcoat.progress import Event, Finished, Note, Sink, Started
from topcoat.telemetry.tracing import tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

__all__ = ["traced"]


@contextmanager
def traced(sink: Sink, command: str) -> Iterator[Sink]:
    """A sink that hands everything on to `sink` and, if the user's variables name a collector, sends spans.

    `command` is as in "topcoat run phase1". Only its first two words are in a span, and no text of a note or a detail.
    """
    with tracing(lambda text: sink.emit(Note(text, warning=True))) as tracer:
        if tracer is None:
            yield sink
            return
        words = command.split()
        name = " ".join(words[:2]) if words[:1] == ["topcoat"] else "topcoat"
        with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            spans = _SpanSink(sink, tracer)
            try:
                yield spans
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                spans.fail(span)
                raise
            finally:
                span.set_attribute("topcoat.warnings", spans.warnings)


@dataclass(slots=True)
class _SpanSink:
    """Starts and ends a span with each task. A task that begins while another runs belongs to that one."""

    sink: Sink
    tracer: Tracer
    warnings: int = 0
    _running: dict[str, Span] = field(default_factory=dict)

    def emit(self, event: Event) -> None:
        self.sink.emit(event)
        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Finished):
            if span := self._running.pop(event.name, None):
                span.end()
        elif isinstance(event, Note):
            self.warnings += event.warning

    def fail(self, whole: Span) -> None:
        """End the spans of tasks that didn't come to their end, and mark them and the whole."""
        from opentelemetry.trace import StatusCode

        for span in [*reversed(self._running.values()), whole]:
            span.set_status(StatusCode.ERROR)
            if span is not whole:
                span.end()
        self._running.clear()

    def _begin(self, event: Started) -> None:
        from opentelemetry.trace import set_span_in_context

        around = next(reversed(self._running.values()), None)
        context = set_span_in_context(around) if around else None
        span = self.tracer.start_span(event.name.split()[0], context)  # others may name a model
        if event.total is not None:
            span.set_attributes({"topcoat.total": event.total, "topcoat.unit": event.unit})
        self._running[event.name] = span
