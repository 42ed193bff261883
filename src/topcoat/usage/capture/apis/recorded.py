"""Reads the requests and answers of the other APIs for the recorder, with the readers of logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from topcoat.usage.capture.apis.server_events import documents
from topcoat.usage.capture.apis.table import ApiName
from topcoat.usage.characters import whole_characters
from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.items import add_item, is_of_client
from topcoat.usage.formats.shapes import Json, list_of, object_of, text_in
from topcoat.usage.messages import turns_of
from topcoat.usage.turns import Spoken

__all__ = ["answer_turns", "request_turns", "session_in"]

_REMINDER = re.compile(r"\s*<system-reminder>.*</system-reminder>\s*", re.DOTALL)
"""What Claude Code adds to a user's message."""
_SESSION = re.compile(r"_session_([0-9A-Za-z-]{8,64})$")
_FINISH = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
"""A chat completion's reasons for the end of an answer, by those of the Messages API."""


def request_turns(api: ApiName, body: Json) -> list[Spoken]:
    """The turns of a request. What the client's program adds to the user's words is a system's turn.

    Raises `ValueError` if there are none.
    """
    if api == "messages":
        turns = [turn for message in list_of(body.get("messages"), "messages:") for turn in _asked(message)]
        rules = body.get("system")
        rules = "\n\n".join(map(text_in, rules)) if isinstance(rules, list) else text_in(rules)
        return [Spoken("system", rules), *turns] if rules else turns
    said = Gathered()
    if body.get("instructions"):
        said.add(Spoken("system", text_in(body["instructions"])))
    given = body.get("input")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else list_of(given, "input:"):
        item = object_of(item, "an item")
        if item.get("role") == "user" and is_of_client(text := text_in(item.get("content"))):
            said.add(Spoken("system", text))
        else:
            add_item(item, said, Report())
    said.end()
    return said.turns


def _asked(message: object) -> Iterable[Spoken]:
    message = object_of(message, "a message")
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, list):
        return turns_of(message)
    added = [Spoken("system", block["text"]) for block in content if _is_reminder(block)]
    rest = [block for block in content if not _is_reminder(block)]
    if not added or not rest:  # alone, it is what the model answers
        return turns_of(message)
    turns = turns_of({**message, "content": rest})
    place = next((place for place, turn in enumerate(turns) if turn.role == "user"), len(turns))
    return [*turns[:place], *added, *turns[place:]]


def _is_reminder(block: object) -> bool:
    text = block.get("text") if isinstance(block, dict) else None
    return isinstance(text, str) and _REMINDER.fullmatch(text) is not None


def answer_turns(api: ApiName, response: bytes, *, streamed: bool) -> list[Spoken]:
    """The turns of an answer, several if the provider's own tools were called within it. Raises `ValueError`.

    There are none if the answer broke off before its first word.
    """
    if api == "messages":
        message = _joined_message(response) if streamed else object_of(json.loads(response), "an answer")
        message = whole_characters(message)
        turns = turns_of({**message, "role": "assistant"})
        reason = str(message.get("stop_reason") or "cut")
        return _ended(turns, _FINISH.get(reason, reason))
    answer = whole_characters(_joined_response(response) if streamed else object_of(json.loads(response), "an answer"))
    said = Gathered()
    for item in list_of(answer.get("output"), "output:"):
        add_item(object_of(item, "an item"), said, Report())
    said.end()
    return _ended(said.turns, _finish(answer, said.turns))


def _ended(turns: list[Spoken], finish: str) -> list[Spoken]:
    if turns:
        return [*turns[:-1], replace(turns[-1], finish=finish)]
    return [] if finish == "cut" else [Spoken("assistant", None, finish=finish)]


def _finish(answer: Json, turns: list[Spoken]) -> str:
    why = answer.get("incomplete_details")
    if answer.get("status") == "incomplete" and isinstance(why, dict):
        return "length" if why.get("reason") == "max_output_tokens" else str(why.get("reason") or "cut")
    if answer.get("status") != "completed":
        return "cut"
    return "tool_calls" if turns and turns[-1].calls else "stop"


def _joined_message(stream: bytes) -> dict[str, Any]:
    """The message of a stream, as far as it came."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    pieces: dict[tuple[int, str], list[str]] = {}
    for document in documents(stream):
        kind, place = document.get("type"), int(document.get("index") or 0)
        if kind == "content_block_start":
            blocks[place] = dict(object_of(document.get("content_block"), "a block"))
        elif kind == "content_block_delta":
            for key, text in object_of(document.get("delta"), "a delta").items():
                if key in ("text", "thinking", "partial_json") and isinstance(text, str):
                    pieces.setdefault((place, key), []).append(text)
        elif kind == "message_delta":
            message |= object_of(document.get("delta"), "a delta")
    for (place, key), texts in pieces.items():
        block = blocks.setdefault(place, {"type": "text", "text": ""})
        if key == "partial_json":
            block["input"] = "".join(texts)
        else:
            block[key] = str(block.get(key) or "") + "".join(texts)
    return {**message, "content": [block for _, block in sorted(blocks.items())]}


def _joined_response(stream: bytes) -> Json:
    """The response of a stream: the one at its end, or the items as far as they came."""
    items: dict[int, dict[str, Any]] = {}
    texts: dict[int, list[str]] = {}
    for document in documents(stream):
        kind, place = str(document.get("type")), int(document.get("output_index") or 0)
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            ended = object_of(document.get("response"), "a response")
            if ended.get("output") or not items:
                return ended
            return {**ended, "output": _items(items, texts)}
        if kind in ("response.output_item.added", "response.output_item.done"):
            items[place] = dict(object_of(document.get("item"), "an item"))
        elif kind == "response.output_text.delta":
            texts.setdefault(place, []).append(str(document.get("delta") or ""))
    return {"status": "failed", "output": _items(items, texts)}


def _items(items: Mapping[int, dict[str, Any]], texts: Mapping[int, list[str]]) -> list[dict[str, Any]]:
    """The items in order. A message that was cut has the text that came. A call that was cut is none."""
    found = []
    for place, item in sorted(items.items()):
        if item.get("status") != "in_progress":
            found.append(item)
        elif item.get("type") == "message":
            found.append({**item, "content": "".join(texts.get(place, ()))})
    return found


def session_in(api: ApiName, body: Json) -> str:
    """The session that a request's body names, "" if it names none. Claude Code has it in the name of the user."""
    if api != "messages":
        return ""
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str):
        return ""
    try:
        found = json.loads(user)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return str(found.get("session_id") or "")
    match = _SESSION.search(user)
    return match[1] if match else user
