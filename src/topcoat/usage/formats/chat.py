"""Chat logs: `{"messages": [...]}` with the answer as the last turn or beside it, and requests with their responses.

mlx-lm, OpenAI's chat completions, Anthropic's Messages API, LiteLLM's payloads, LangChain's messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from topcoat.usage.formats.dialogue import Dialogue, Report
from topcoat.usage.formats.shapes import Json, as_json, moment_of, object_of
from topcoat.usage.formats.tools import tools_of
from topcoat.usage.messages import answers_beside, is_langchain, system_beside, turns_of
from topcoat.usage.turns import Spoken, boundaries

__all__ = ["asked_and_answered", "is_chat", "named_in", "read_chat", "time_in"]


def is_chat(document: object) -> bool:
    """Whether a document has messages, or is a list of LangChain's."""
    if isinstance(document, list):
        return bool(document) and is_langchain(document[0])
    document = asked_and_answered(document)
    messages = document.get("messages") if isinstance(document, dict) else None
    return isinstance(messages, list) and bool(messages) and isinstance(messages[0], dict)


def asked_and_answered(document: object) -> object:
    """A log line with a request and its response, as one object: the request, and `response` beside it."""
    if not isinstance(document, dict):
        return document
    if isinstance(document.get("messages"), str):  # a column of a table, which holds JSON
        return {**document, "messages": _body(document["messages"])}
    if "messages" in document or "input" in document:
        return document
    for name in ("request", "body"):
        request = _body(document.get(name))
        if isinstance(request, dict) and request.keys() & {"messages", "input"}:
            outer = {key: value for key, value in document.items() if key not in (name, "response")}
            return {**outer, **request, "response": _body(document.get("response"))}
    return document


def _body(message: object) -> object:
    """What a request or a response says. Some logs have its headers around it, and some write it as text."""
    try:
        message = as_json(message)
        inner = as_json(message.get("body")) if isinstance(message, dict) and "body" in message else None
    except (ValueError, RecursionError):
        return message
    return inner if isinstance(inner, dict) else message


def read_chat(document: object, report: Report) -> Iterator[Dialogue]:
    """The dialogue of a document, or one for every answer beside its messages. Raises `ValueError`."""
    document = {"messages": document} if isinstance(document, list) else asked_and_answered(document)
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(messages, list) or not messages:
        raise ValueError("messages: must be a list of turns")
    turns = system_beside(document)
    for message in messages:
        turns += turns_of(object_of(message, "a turn"))
    tools = tools_of(document.get("tools") or document.get("functions") or _parameters(document), report)
    for answer in _answers(document, turns):
        yield Dialogue([*turns, *answer], **named_in(document), time=time_in(document), tools=tools)


def _parameters(document: Json) -> object:
    """The tools among the parameters of a request, as LiteLLM logs them."""
    for name in ("model_parameters", "optional_params", "kwargs"):
        found = document.get(name)
        if isinstance(found, dict) and found.get("tools"):
            return found["tools"]
    return None


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


def time_in(document: Json) -> Any:
    """The time of a log line, under any of its usual names."""
    names = ("time", "timestamp", "startTime", "start_time", "created_at", "created")
    return next((moment for name in names if document.get(name) and (moment := moment_of(document[name]))), None)


def named_in(document: Json) -> dict[str, Any]:
    """The session, model and branch that a log line names."""
    names = document.get("session") or document.get("session_id") or document.get("conversation_id") or ""
    response = document.get("response")
    answered = response.get("model") if isinstance(response, dict) else ""
    return {
        "session": str(names),
        "model": str(document.get("model") or answered or ""),
        "branch": str(document.get("branch") or ""),
    }
