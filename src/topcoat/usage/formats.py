"""Reads dialogues in other tools' formats. Knows the shape of one JSON document, no files.

topcoat      an event, as `topcoat events export` prints it
chat         {"messages": [{"role": "user", "content": "..."}, ...]}                mlx-lm, OpenAI, Anthropic, LangChain
pydantic-ai  [{"kind": "request", "parts": [...]}, {"kind": "response", ...}, ...]          ModelMessagesTypeAdapter
otel         a span with gen_ai.* attributes, from an OTLP file or an SDK's console exporter  OpenTelemetry GenAI
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, get_args

from topcoat.usage.events import KINDS, ToolCall
from topcoat.usage.messages import answers_beside, is_langchain, keys_of, system_beside, turns_of
from topcoat.usage.turns import Spoken, boundaries, spoken

__all__ = ["FORMATS", "Dialogue", "Format", "detect", "dialogues_in", "failed_calls", "parts_of"]

Format = Literal["topcoat", "chat", "pydantic-ai", "otel"]
FORMATS: tuple[Format, ...] = get_args(Format)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The turns of a document, and its name for the session. Fields are "" or None if the document lacks them."""

    turns: list[Spoken]
    session: str = ""
    time: datetime | None = None
    model: str = ""
    branch: str = ""


def detect(document: object) -> Format | None:
    """The format of a document, by its keys. None if no format has such keys."""
    if isinstance(document, list):
        if document and is_langchain(document[0]):
            return "chat"
        return detect(document[0]) if document else None
    if not isinstance(document, dict):
        return None
    if document.get("kind") in KINDS and "session" in document and "parts" not in document:
        return "topcoat"
    if "resourceSpans" in document or "attributes" in document:
        return "otel"
    messages = document.get("messages")
    if document.get("kind") in ("request", "response") and "parts" in document:
        return "pydantic-ai"
    if isinstance(messages, list) and messages and isinstance(messages[0], dict):
        return "pydantic-ai" if "parts" in messages[0] else "chat"
    return None


def parts_of(document: object, form: Format) -> Iterator[object]:
    """The parts of a document that are read on their own: spans, or the items of a list. Raises `ValueError`."""
    if form == "otel":
        yield from _spans(document)
    elif isinstance(document, list) and document and is_langchain(document[0]):
        yield {"messages": document}
    elif isinstance(document, list) and (form != "pydantic-ai" or not _is_message(document[:1])):
        yield from document
    else:
        yield document


def dialogues_in(
    document: object, form: Format, failed: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Dialogue]:
    """The dialogues of a document; it may have none. Raises `ValueError` if it isn't of `form`, or if nothing is said.

    `failed` is the `failed_calls` of the whole file.
    """
    for part in parts_of(document, form):
        for dialogue in _read(part, form, failed):
            if not any(turn.content or turn.calls or turn.reasoning or turn.role == "tool" for turn in dialogue.turns):
                raise ValueError("no turn says anything")
            yield dialogue


def _read(part: object, form: Format, failed: Mapping[str, str]) -> Iterator[Dialogue]:
    if form == "otel":
        yield from _dialogue_of(_object(part, "a span"), failed)
    elif form == "pydantic-ai":
        yield _pydantic_ai(part)
    else:
        yield from _chat(part)


def _is_message(items: Sequence[object]) -> bool:
    return any(isinstance(item, dict) and "messages" not in item for item in items)


def _chat(document: object) -> Iterator[Dialogue]:
    """The dialogue of a document, or one for every answer beside its messages."""
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(messages, list) or not messages:
        raise ValueError("messages: must be a list of turns")
    turns = system_beside(document)
    for message in messages:
        turns += turns_of(_object(message, "a turn"))
    time = _time(document.get("time") or document.get("timestamp") or document.get("startTime"))
    for answer in _answers(document, turns):
        yield Dialogue([*turns, *answer], **_named(document), time=time)


def _answers(document: Json, turns: Sequence[Spoken]) -> list[list[Spoken]]:
    """What follows `turns`. A document that repeats its last turn as the answer has it once."""
    answered = bool(turns) and turns[-1].role == "assistant"
    try:
        answers = answers_beside(document)
    except ValueError:
        if answered:  # the key has something else than the answer
            return [[]]
        raise
    if answered:
        answers = [answer for answer in answers if boundaries(answer) != boundaries(turns[-1:])]
    return answers or [[]]


def _named(document: Json) -> dict[str, str]:
    names = document.get("session") or document.get("session_id") or document.get("conversation_id") or ""
    return {
        "session": str(names),
        "model": str(document.get("model") or ""),
        "branch": str(document.get("branch") or ""),
    }


# pydantic-ai


def _pydantic_ai(document: object) -> Dialogue:
    named: dict[str, str] = {}
    if isinstance(document, dict):
        named = _named(document)
        document = document.get("messages", [document])
    if not isinstance(document, list) or not document:
        raise ValueError("must be a list of pydantic-ai's messages")
    messages = [_object(message, "a message") for message in document]
    turns: list[Spoken] = []
    for message in messages:
        turns += _response(message) if message.get("kind") == "response" else _request(message, first=not turns)
    answers = [message for message in messages if message.get("kind") == "response"]
    model = next((str(answer["model_name"]) for answer in answers if answer.get("model_name")), "")
    time = next((time for answer in answers if (time := _time(answer.get("timestamp")))), None)
    talk = next((str(message["conversation_id"]) for message in messages if message.get("conversation_id")), "")
    session, branch = named.get("session") or talk, named.get("branch", "")
    return Dialogue(turns, session=session, branch=branch, model=named.get("model") or model, time=time)


def _request(message: Json, *, first: bool) -> Iterator[Spoken]:
    parts = _parts(message)
    if first and message.get("instructions") and not any(p.get("part_kind") == "system-prompt" for p in parts):
        yield Spoken("system", str(message["instructions"]))
    for part in parts:
        kind, content = part.get("part_kind"), part.get("content")
        if kind == "system-prompt":
            yield Spoken("system", str(content))
        elif kind == "user-prompt":
            yield spoken({"role": "user", "content": content})
        elif kind == "retry-prompt" and not part.get(
            "tool_name"
        ):  # no tool was called: the model reads it as the user's
            yield spoken({"role": "user", "content": content if isinstance(content, str) else json.dumps(content)})
        elif kind in ("tool-return", "retry-prompt", "builtin-tool-return"):
            refused = kind == "retry-prompt" or part.get("outcome") not in (None, "success")
            text = content if isinstance(content, str) or not refused else json.dumps(content, ensure_ascii=False)
            tool, call = str(part.get("tool_name") or ""), str(part.get("tool_call_id") or "")
            yield Spoken("tool", text, tool=tool, call_id=call, failed=True if refused else None)
        else:
            raise ValueError(f"a request's part can't be {kind!r}")


def _response(message: Json) -> Iterator[Spoken]:
    """The turns of a response: one, or several around the results of tools that the provider called itself."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    finish = str(message.get("finish_reason") or "")

    def said() -> Spoken:
        text = "".join(texts) if texts else None
        return Spoken("assistant", text, tuple(calls), reasoning="".join(thoughts), finish=finish)

    parts = _parts(message)
    for part in parts:
        kind, content = part.get("part_kind"), part.get("content")
        if kind == "text":
            texts.append(str(content or ""))
        elif kind == "thinking":
            thoughts.append(str(content or ""))
        elif kind in ("tool-call", "builtin-tool-call"):
            calls.append(ToolCall.given(part.get("tool_call_id"), part.get("tool_name"), part.get("args")))
        elif kind == "builtin-tool-return":
            if texts or thoughts or calls:
                yield said()
            texts, thoughts, calls = [], [], []
            yield Spoken(
                "tool", content, tool=str(part.get("tool_name") or ""), call_id=str(part.get("tool_call_id") or "")
            )
        elif kind == "file":
            texts.append("[file]")
        else:
            raise ValueError(f"a response's part can't be {kind!r}")
    if texts or thoughts or calls or not parts:
        yield said()


# OpenTelemetry


def failed_calls(document: object) -> dict[str, str]:
    """The errors of tool calls whose spans failed, by the call's id. Spans of models don't contain them."""
    failed = {}
    try:
        for span in _spans(document):
            attributes = _attributes(span.get("attributes"))
            status = _object(span.get("status") or {}, "a status")
            if attributes.get("gen_ai.tool.call.id") and {status.get("status_code"), status.get("code")} & _ERRORS:
                events = [_attributes(event.get("attributes")) for event in span.get("events") or ()]
                texts = [str(event["exception.message"]) for event in events if event.get("exception.message")]
                failed[str(attributes["gen_ai.tool.call.id"])] = texts[-1] if texts else "it failed"
    except (ValueError, TypeError, AttributeError):
        return failed  # reading its dialogues reports the mistake
    return failed


_ERRORS = {"ERROR", 2, "STATUS_CODE_ERROR"}


def _spans(document: object) -> Iterator[Json]:
    if isinstance(document, list):
        for item in document:
            yield from _spans(item)
    elif isinstance(document, dict) and "resourceSpans" in document:
        for resource in document["resourceSpans"]:
            for scope in _object(resource, "a resource").get("scopeSpans") or ():
                for span in _object(scope, "a scope").get("spans") or ():
                    yield _object(span, "a span")
    else:
        yield _object(document, "a span")


def _dialogue_of(span: Json, failed: Mapping[str, str]) -> Iterator[Dialogue]:
    attributes = _attributes(span.get("attributes"))
    output = _structured(attributes.get("gen_ai.output.messages"))
    messages = [*_structured(attributes.get("gen_ai.input.messages")), *output]
    messages = messages or _structured(attributes.get("pydantic_ai.all_messages"))
    if not messages:
        if (other := detect(span)) not in (None, "otel"):
            raise ValueError(f"it has the keys of {other}")
        if unread := _unread(span, attributes):
            raise ValueError(f"a span of a model in another convention: {unread}")
        return  # not a span of a model
    system = "".join(part.get("content", "") for part in _structured(attributes.get("gen_ai.system_instructions")))
    turns = [Spoken("system", system)] if system and messages[0].get("role") != "system" else []
    for message in messages:
        turns += _otel_turns(message, failed)
    context = span.get("context")
    trace = span.get("traceId") or (context.get("trace_id") if isinstance(context, dict) else "")
    yield Dialogue(
        turns,
        session=str(attributes.get("gen_ai.conversation.id") or trace or ""),
        time=_time(span.get("startTimeUnixNano") or span.get("start_time")),
        model=str(attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model") or ""),
    )


_MODEL = re.compile(
    r"gen_ai\.(prompt|completion|content|request\.messages|response\.messages|choice|\w+\.message)\b"
    r"|llm\.(prompts|completions|input_messages|output_messages)\b|ai\.(prompt|response)\b"
    r"|(request_data|response_data|all_messages_events)$"
)
"""The attributes, or events of a span, in which the conventions that aren't read here keep what was said."""
_ASKS = ("chat", "text_completion", "generate_content")
"""The names of operations that ask a model."""


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


def _otel_turns(message: Json, failed: Mapping[str, str]) -> Iterator[Spoken]:
    """The turns of a message. Results are parts of the message, and each becomes a turn of its own."""
    texts, thoughts, calls = [], [], []
    for part in _parts(message):
        kind = part.get("type")
        if kind == "tool_call_response":
            call, tool = str(part.get("id") or ""), str(part.get("name") or "")
            returned = failed.get(call, part.get("response", part.get("result")))
            yield Spoken("tool", returned, call_id=call, tool=tool, failed=True if call in failed else None)
        elif kind == "tool_call":
            calls.append(ToolCall.given(part.get("id"), part.get("name"), part.get("arguments")))
        elif kind in ("reasoning", "thinking"):
            thoughts.append(str(part.get("content") or ""))
        else:
            texts.append(str(part.get("content") or "") if kind == "text" else f"[{kind}]")
    if texts or calls or thoughts:
        said = spoken({"role": message.get("role"), "content": "".join(texts) if texts else None})
        finish = str(message.get("finish_reason") or "")
        yield Spoken(said.role, said.content, tuple(calls), reasoning="".join(thoughts), finish=finish)


def _attributes(found: object) -> dict[str, Any]:
    """Attributes by name, from an SDK's dictionary or from OTLP's list of typed values."""
    if isinstance(found, dict):
        return found
    pairs = found if isinstance(found, list) else []
    return {str(pair["key"]): _plain(pair.get("value")) for pair in pairs if isinstance(pair, dict) and "key" in pair}


def _plain(value: object) -> object:
    """A typed value of OTLP's JSON as plain JSON."""
    if not isinstance(value, dict):
        return value
    if "arrayValue" in value:
        return [_plain(item) for item in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        return _attributes(value["kvlistValue"].get("values") or [])
    if "intValue" in value:  # OTLP writes 64-bit numbers as text
        return int(value["intValue"])
    return next(iter(value.values()), None)


def _structured(value: object) -> list[Json]:
    """A list of objects, which may be written as JSON text."""
    if isinstance(value, str):
        value = json.loads(value) if value else []
    if value is not None and not isinstance(value, list):
        raise ValueError("messages: must be a list")
    return [_object(item, "a message") for item in value or ()]


# Shapes


def _object(value: object, what: str) -> Json:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    return value


def _parts(message: Json) -> Sequence[Json]:
    parts = message.get("parts")
    if not isinstance(parts, list):
        raise ValueError("parts: must be a list")
    return [_object(part, "a part") for part in parts]


def _time(value: object) -> datetime | None:
    """A time in ISO 8601, or in nanoseconds or seconds since 1970. None for anything else."""
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
            seconds = float(value)
            return datetime.fromtimestamp(seconds / 1e9 if seconds > 1e14 else seconds, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
