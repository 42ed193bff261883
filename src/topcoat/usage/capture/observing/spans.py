"""A span for each request to the model, in OpenTelemetry's conventions for generative AI.

It has numbers, the name of the served model and the reasons of ends. It has no prompt, no answer and no client's words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from topcoat.usage.capture.observing.figures import AnswerFigures
from topcoat.usage.capture.observing.observation import GONE, Observation

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

__all__ = ["add_span"]

_OPERATIONS = {"chat": "chat", "messages": "chat", "responses": "chat", "completions": "text_completion"}
_NUMBERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "n": "choice.count",
}
"""Numbers of a request, and what they are called in a span."""
_LARGEST = 1 << 53


def add_span(tracer: Tracer, seen: Observation, figures: AnswerFigures | None) -> None:
    """Send the span of a request to the model; of no other request. `figures` is None if no answer could be read."""
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    operation = _OPERATIONS.get(seen.api)
    if operation is None:
        return
    around = TraceContextTextMapPropagator().extract({"traceparent": seen.parent}) if seen.parent else None
    name = f"{operation} {seen.model}".rstrip()
    attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "topcoat", **_attributes(seen, figures)}
    span = tracer.start_span(name, around, SpanKind.SERVER, attributes, start_time=seen.at)
    if fault := _fault(seen):
        span.set_attribute("error.type", fault)
        span.set_status(StatusCode.ERROR)
    span.end(seen.at + int(seen.seconds * 1e9))


def _attributes(seen: Observation, figures: AnswerFigures | None) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {"topcoat.api": seen.api}
    if seen.code.isdigit():
        found["http.response.status_code"] = int(seen.code)
    if seen.model:
        found |= {"gen_ai.request.model": seen.model, "gen_ai.response.model": seen.model}
    if seen.first is not None:
        found["gen_ai.response.time_to_first_chunk"] = seen.first
    if seen.exchange is not None:
        found |= _asked(seen.exchange.request)
        found["gen_ai.request.stream"] = seen.exchange.streamed
    if figures is not None:
        found["gen_ai.response.finish_reasons"] = figures.finishes
        for name, tokens in (("input", figures.input_tokens), ("output", figures.output_tokens)):
            if tokens is not None:
                found[f"gen_ai.usage.{name}_tokens"] = tokens
    return found


def _asked(request: bytes) -> dict[str, AttributeValue]:
    """The numbers of a request."""
    try:
        body = json.loads(request)
    except (ValueError, RecursionError):
        return {}
    given = body if isinstance(body, dict) else {}
    return {f"gen_ai.request.{to}": given[key] for key, to in _NUMBERS.items() if _fits(given.get(key))}


def _fits(value: object) -> bool:
    """Whether a value is a number that a span can have. One that can't would keep a whole batch from being sent."""
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST  # type: ignore[operator]


def _fault(seen: Observation) -> str:
    """The kind of fault that a request met, "" if it met none. What a client does wrong is no fault of a server."""
    if seen.code == GONE:
        return GONE
    if seen.code >= "500":
        return seen.code
    return "broken" if seen.exchange is not None and not seen.exchange.whole else ""
