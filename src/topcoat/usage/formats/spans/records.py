"""The spans and log records of a document: OTLP's JSON, or what an SDK's console exporters and file exporters write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from topcoat.usage.formats.shapes import Json, object_of

__all__ = ["attributes_of", "failures_in", "is_otel", "records_in", "trace_of"]

_RESOURCES = {"resourceSpans": ("scopeSpans", "spans"), "resourceLogs": ("scopeLogs", "logRecords")}
_ERRORS = {"ERROR", 2, "STATUS_CODE_ERROR"}
_CALLS = ("gen_ai.tool.call.id", "ai.toolCall.id", "tool_call.id")
"""Where a tool's own span names the call."""


def is_otel(document: object) -> bool:
    """Whether a document has spans or log records, or is one."""
    return isinstance(document, dict) and ("attributes" in document or bool(document.keys() & _RESOURCES.keys()))


def records_in(document: object) -> Iterator[Json]:
    """The spans and log records of a document. Raises `ValueError`."""
    if isinstance(document, list):
        for item in document:
            yield from records_in(item)
    elif isinstance(document, dict) and document.keys() & _RESOURCES.keys():
        for name, (scopes, records) in _RESOURCES.items():
            for resource in document.get(name) or ():
                for scope in object_of(resource, "a resource").get(scopes) or ():
                    for record in object_of(scope, "a scope").get(records) or ():
                        yield object_of(record, "a span")
    else:
        yield object_of(document, "a span")


def attributes_of(found: object) -> dict[str, Any]:
    """Attributes by name, from an SDK's dictionary or from OTLP's list of typed values."""
    if isinstance(found, dict):
        return found
    pairs = found if isinstance(found, list) else []
    return {str(pair["key"]): plain(pair.get("value")) for pair in pairs if isinstance(pair, dict) and "key" in pair}


def plain(value: object) -> object:
    """A typed value of OTLP's JSON as plain JSON."""
    if not isinstance(value, dict):
        return value
    if "arrayValue" in value:
        return [plain(item) for item in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        return attributes_of(value["kvlistValue"].get("values") or [])
    if "intValue" in value:  # OTLP writes 64-bit numbers as text
        return int(value["intValue"])
    if "stringValue" in value or "boolValue" in value or "doubleValue" in value:
        return next(iter(value.values()), None)
    return value


def trace_of(record: Json) -> str:
    """The trace that a span or a record belongs to; "" if it names none."""
    context = record.get("context") or record.get("spanContext")
    within = context.get("trace_id") or context.get("traceId") if isinstance(context, dict) else ""
    return str(record.get("traceId") or record.get("trace_id") or within or "")


def failures_in(documents: Iterable[object]) -> Mapping[str, str]:
    """The errors of tool calls whose spans failed, by the call's id. Spans of models don't contain them."""
    failed: dict[str, str] = {}
    for document in documents:
        try:
            for span in records_in(document):
                failed |= _failure(span)
        except (ValueError, TypeError, AttributeError):
            continue  # reading its dialogues reports the mistake
    return failed


def _failure(span: Json) -> dict[str, str]:
    attributes = attributes_of(span.get("attributes"))
    call = next((str(attributes[name]) for name in _CALLS if attributes.get(name)), "")
    status = object_of(span.get("status") or {}, "a status")
    if not call or not {status.get("status_code"), status.get("code")} & _ERRORS:
        return {}
    events = [attributes_of(event.get("attributes")) for event in span.get("events") or ()]
    texts = [str(event["exception.message"]) for event in events if event.get("exception.message")]
    return {call: texts[-1] if texts else str(status.get("message") or status.get("description") or "it failed")}
