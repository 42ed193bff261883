"""Reads the dialogues of a file of spans and log records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from topcoat.usage.formats.dialogue import Dialogue, Document, Report
from topcoat.usage.formats.shapes import Json, moment_of
from topcoat.usage.formats.spans.conventions import CONVENTIONS, Exchange, Failures, asked_in_events
from topcoat.usage.formats.spans.records import attributes_of, failures_in, records_in, trace_of
from topcoat.usage.formats.tools import tools_of
from topcoat.usage.messages import keys_of

__all__ = ["read_otel"]

_MODEL = re.compile(
    r"gen_ai\.(prompt|completion|content|request\.messages|response\.messages|choice|\w+\.message)\b"
    r"|llm\.(prompts|completions|input_messages|output_messages)\b|ai\.(prompt|response)\b"
    r"|(request_data|response_data|all_messages_events)$"
)
"""The attributes, or events of a span, in which the conventions keep what was said."""
_ASKS = ("chat", "text_completion", "generate_content")
"""The names of operations that ask a model."""
_SESSIONS = (
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
)
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "ai.response.model", "ai.model.id")
_TIMES = ("startTimeUnixNano", "start_time", "startTime", "timeUnixNano", "timestamp")


def read_otel(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogues of the spans that ask a model. Errors of failed tools stand in the tools' own spans."""
    failed = failures_in(document.value for document in documents)
    apart: dict[str, list[tuple[Document, Json]]] = {}
    for document in documents:
        for which, record in _numbered(document, report):
            span = str(record.get("span_id") or record.get("spanId") or "")
            if "body" in record and span and "events" not in record:  # the log records of one span are one exchange
                apart.setdefault(span, []).append((document, record))
                continue
            found: list[Dialogue] = []
            with report.at(document.where, f"{which}not otel"):
                found = list(_dialogues(record, _exchange(record, failed), document, report))
            yield from found
    for records in apart.values():
        found = []
        with report.at(records[0][0].where, "not otel"):
            exchange = asked_in_events([_event(record) for _, record in records], failed)
            found = list(_dialogues(records[0][1], exchange or _exchange(records[0][1], failed), records[0][0], report))
        yield from found


def _numbered(document: Document, report: Report) -> list[tuple[str, Json]]:
    with report.at(document.where, "not otel"):
        records = list(records_in(document.value))
        return [(f"{n} of {len(records)}: " if len(records) > 1 else "", r) for n, r in enumerate(records, 1)]
    return []


def _exchange(record: Json, failed: Failures) -> Exchange | None:
    attributes = attributes_of(record.get("attributes"))
    for convention in CONVENTIONS:
        if (found := convention(attributes, failed)) is not None:
            return found
    return asked_in_events([_event(event) for event in record.get("events") or () if isinstance(event, dict)], failed)


def _event(event: Json) -> tuple[str, Json]:
    """The name and the fields of an event of a span, or of a log record."""
    attributes = attributes_of(event.get("attributes"))
    body = event.get("body")
    inner = (
        attributes_of(body["kvlistValue"].get("values")) if isinstance(body, dict) and "kvlistValue" in body else body
    )
    name = event.get("name") or event.get("event_name") or event.get("eventName") or attributes.get("event.name")
    return str(name or ""), {**attributes, **(inner if isinstance(inner, dict) else {})}


def _dialogues(record: Json, found: Exchange | None, document: Document, report: Report) -> Iterator[Dialogue]:
    attributes = attributes_of(record.get("attributes"))
    if found is None:
        if "messages" in record or "parts" in record:
            raise ValueError(f"it has the keys {keys_of(record)}")
        if attributes.get("ai.operationId") in (
            "ai.generateText",
            "ai.streamText",
            "ai.generateObject",
            "ai.streamObject",
        ):
            report.passed["span around the spans that ask a model"] += 1
        elif unread := _unread(record, attributes):
            raise ValueError(f"a span of a model in another convention: {unread}")
        else:
            report.passed["span that asks no model"] += 1
        return
    common: dict[str, Any] = {
        "session": next((str(attributes[name]) for name in _SESSIONS if attributes.get(name)), ""),
        "trace": trace_of(record),
        "time": next((time for name in _TIMES if (time := moment_of(record.get(name)))), None),
        "model": next((str(attributes[name]) for name in _MODELS if attributes.get(name)), ""),
        "tools": tools_of(found.tools, report),
        "where": document.where,
    }
    for answer in found.answers or [[]]:
        if not any(turn.content or turn.calls or turn.reasoning for turn in [*found.asked, *answer]):
            raise ValueError("no turn says anything")
        yield Dialogue([*found.asked, *answer], **common)


def _unread(span: Json, attributes: Json) -> str:
    """What tells that a span without messages is a model's: its attributes, events or operation; "" if nothing does."""
    events = [str(event.get("name")) for event in span.get("events") or () if isinstance(event, dict)]
    found = {name: True for name in [*attributes, *events] if _MODEL.match(name)}
    if attributes.get("openinference.span.kind") == "LLM" and not found:
        found = {name: True for name in attributes if name.startswith(("input.", "output."))}
    operation = attributes.get("gen_ai.operation.name")
    if "events" in attributes and any(name.startswith("gen_ai.") for name in attributes):
        found["events"] = True
    return keys_of(found) or (f"gen_ai.operation.name is {operation}, no messages" if operation in _ASKS else "")
