"""pydantic-ai's messages, as its `ModelMessagesTypeAdapter` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from topcoat.usage.events import ToolCall
from topcoat.usage.formats.chat import named_in
from topcoat.usage.formats.dialogue import Dialogue, Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.shapes import Json, moment_of, object_of, parts_of, text_in
from topcoat.usage.turns import Spoken, spoken

__all__ = ["is_message", "is_pydantic_ai", "read_pydantic_ai"]

_CALLS = ("tool-call", "builtin-tool-call", "native-tool-call")
_RETURNS = ("tool-return", "retry-prompt", "builtin-tool-return", "native-tool-return")


def is_message(document: object) -> bool:
    return isinstance(document, dict) and document.get("kind") in ("request", "response") and "parts" in document


def is_pydantic_ai(document: object) -> bool:
    """Whether a document is a message, a list of messages, or has one."""
    if isinstance(document, list):
        return bool(document) and is_message(document[0])
    messages = document.get("messages") if isinstance(document, dict) else None
    first = messages[0] if isinstance(messages, list) and messages else None
    return is_message(document) or (isinstance(first, dict) and "parts" in first and "role" not in first)


def read_pydantic_ai(document: object, report: Report) -> Iterator[Dialogue]:
    """The dialogue of a list of messages. Raises `ValueError`."""
    named: dict[str, Any] = {}
    if isinstance(document, dict):
        named = named_in(document)
        document = document.get("messages", [document])
    if not isinstance(document, list) or not document:
        raise ValueError("must be a list of pydantic-ai's messages")
    messages = [object_of(message, "a message") for message in document]
    said = Gathered()
    for message in messages:
        if message.get("kind") == "response":
            _response(message, said, report)
        else:
            said.add(*_request(message, report, first=not said.turns))
    answers = [message for message in messages if message.get("kind") == "response"]
    model = next((str(answer["model_name"]) for answer in answers if answer.get("model_name")), "")
    time = next((time for answer in answers if (time := moment_of(answer.get("timestamp")))), None)
    talk = next((str(message["conversation_id"]) for message in messages if message.get("conversation_id")), "")
    yield Dialogue(
        said.turns,
        session=named.get("session") or talk,
        branch=named.get("branch", ""),
        model=named.get("model") or model,
        time=time,
    )


def _request(message: Json, report: Report, *, first: bool) -> Iterator[Spoken]:
    parts = parts_of(message)
    if first and message.get("instructions") and not any(p.get("part_kind") == "system-prompt" for p in parts):
        yield Spoken("system", text_in(message["instructions"]))
    for part in parts:
        kind, content = part.get("part_kind"), part.get("content")
        if kind == "system-prompt":
            yield Spoken("system", str(content))
        elif kind == "user-prompt":
            yield spoken({"role": "user", "content": content})
        elif kind == "retry-prompt" and not part.get("tool_name"):
            # no tool was called: the model reads it as the user's
            yield spoken({"role": "user", "content": content if isinstance(content, str) else json.dumps(content)})
        elif kind in _RETURNS:
            yield _returned(part)
        else:
            report.passed[f"{kind} part of a request"] += 1


def _returned(part: Json) -> Spoken:
    content = part.get("content")
    refused = part.get("part_kind") == "retry-prompt" or part.get("outcome") not in (None, "success")
    text = content if isinstance(content, str) or not refused else json.dumps(content, ensure_ascii=False)
    tool, call = str(part.get("tool_name") or ""), str(part.get("tool_call_id") or "")
    return Spoken("tool", text, tool=tool, call_id=call, failed=True if refused else None)


def _response(message: Json, said: Gathered, report: Report) -> None:
    """Add the turns of a response: one, or several around the results of tools that the provider called itself."""
    said.finish = str(message.get("finish_reason") or "")
    for part in parts_of(message):
        kind, content = part.get("part_kind"), part.get("content")
        if kind == "text":
            said.words.append(str(content or ""))
        elif kind == "thinking":
            said.thoughts.append(str(content or ""))
        elif kind in _CALLS:
            said.calls.append(ToolCall.given(part.get("tool_call_id"), part.get("tool_name"), part.get("args")))
        elif kind in _RETURNS:
            said.add(_returned(part))
            said.finish = str(message.get("finish_reason") or "")
        elif kind == "file":
            said.words.append("[file]")
        else:
            report.passed[f"{kind} part of a response"] += 1
    said.end()
