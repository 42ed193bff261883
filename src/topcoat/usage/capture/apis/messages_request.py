"""Translates a request of Anthropic's Messages API to a chat completion's.

What chat completions have no word for is left out and noted, or refused where the answer would be to another question.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set
from typing import Any

from topcoat.usage.capture.apis.chat_request import (
    ChatRequest,
    Dialogue,
    Json,
    Untranslatable,
    list_at,
    named,
    object_at,
    text_at,
)
from topcoat.usage.capture.apis.tools import given_tools

__all__ = ["messages_to_chat"]

_SAME = {"model": "model", "max_tokens": "max_tokens", "stop_sequences": "stop"}
_SAMPLING = ("temperature", "top_p", "top_k")
_READ = {*_SAME, *_SAMPLING, "messages", "system", "tools", "tool_choice", "stream", "metadata", "thinking"}
_REFUSED = ("container", "mcp_servers")
"""What has the provider run tools of its own, which no server of chat completions does."""
_KEYS = {
    "text": {"text"},
    "thinking": {"thinking", "signature"},
    "tool_use": {"id", "name", "input"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "image": {"source"},
}
"""The blocks that are translated, and their keys that are read or have no meaning elsewhere."""


def messages_to_chat(body: Json, *, counted: bool = False) -> ChatRequest:
    """The chat completion's request that asks the same. Raises `Untranslatable`.

    `counted`: only the tokens of the request are counted, so it needs no limit for an answer.
    """
    notes: Counter[str] = Counter()
    _require(body, counted=counted)
    dialogue = Dialogue(notes)
    dialogue.system(_system(body, notes))
    messages = list_at(body, "messages")
    if not messages:
        raise Untranslatable("messages", "must be a list of messages, and not empty")
    for number, message in enumerate(messages):
        _add_message(object_at(message, f"messages.{number}"), f"messages.{number}", dialogue)
    if messages[-1]["role"] == "assistant":
        last = f"messages.{len(messages) - 1}"
        raise Untranslatable(last, "a chat completion can't continue an answer that the request begins")
    asked: dict[str, Any] = {chat: body[key] for key, chat in _SAME.items() if body.get(key) is not None}
    asked |= {key: body[key] for key in _SAMPLING if body.get(key) is not None}
    asked["messages"] = dialogue.messages
    asked |= _tools(body, notes)
    if body.get("stream") is True:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    if isinstance(thinking := body.get("thinking"), dict) and thinking.get("type") != "disabled":
        notes["thinking left out (the model's template decides)"] += 1
    for key in body:
        if key not in _READ and body[key]:
            notes[f"{named(key)} left out"] += 1
    return ChatRequest(asked, notes)


def _require(body: Json, *, counted: bool) -> None:
    for key in _REFUSED:
        if body.get(key):
            raise Untranslatable(key, "the model server runs no tools of its own")
    limit = body.get("max_tokens")
    if not counted and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Untranslatable("max_tokens", "must be a whole number, 1 or more")


def _system(body: Json, notes: Counter[str]) -> str:
    said = body.get("system")
    if said is None or isinstance(said, str):
        return said or ""
    texts = []
    for number, block in enumerate(list_at(body, "system")):
        block, at = object_at(block, f"system.{number}"), f"system.{number}"
        if block.get("type") != "text":
            raise Untranslatable(at, "must be a text block")
        _note_others(block, notes)
        texts.append(text_at(block, "text", at))
    return "\n\n".join(texts)


def _add_message(message: Json, at: str, dialogue: Dialogue) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant", "system"):
        raise Untranslatable(f"{at}.role", "must be user, assistant or system")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise Untranslatable(f"{at}.content", "must be a text or a list of blocks")
    places = [(object_at(block, f"{at}.content.{n}"), f"{at}.content.{n}") for n, block in enumerate(content)]
    _note_keys(message, {"role", "content"}, "message", dialogue.notes)
    for block, _ in places:
        _note_others(block, dialogue.notes)
    if role == "assistant":
        for block, place in places:
            _add_answered(block, place, dialogue)
    elif role == "system":
        dialogue.system("\n\n".join(_text(block, place) for block, place in places))
    else:
        _add_asked(places, dialogue)


def _note_others(block: Json, notes: Counter[str]) -> None:
    known = _KEYS.get(str(block.get("type")))
    if known is not None:
        _note_keys(block, {"type", *known}, "block", notes)


def _note_keys(found: Json, known: Set[str], what: str, notes: Counter[str]) -> None:
    for key in found:
        if key not in known and found[key]:
            notes[f"{named(key)} of a {what} left out"] += 1


def _add_answered(block: Json, at: str, dialogue: Dialogue) -> None:
    """Add a block of an answer. The provider's own tools are calls with their results in the same answer."""
    kind = str(block.get("type"))
    if kind == "text":
        dialogue.words(text_at(block, "text", at))
    elif kind == "thinking":
        dialogue.thought(text_at(block, "thinking", at))
    elif kind == "redacted_thinking":
        dialogue.notes["redacted thinking left out"] += 1
    elif kind.endswith("tool_use"):
        arguments = json.dumps(object_at(block.get("input", {}), f"{at}.input"), ensure_ascii=False)
        dialogue.call(text_at(block, "id", at), text_at(block, "name", at), arguments)
    elif kind.endswith("tool_result"):
        dialogue.result(text_at(block, "tool_use_id", at), _returned(block, at, dialogue.notes))
    else:
        raise Untranslatable(at, f"a block of type {named(kind)} can't be said in a chat completion's answer")


def _add_asked(places: Sequence[tuple[Json, str]], dialogue: Dialogue) -> None:
    """Add the blocks of a user's message: results, and what the user says between and after them."""
    said: list[str | Json] = []
    for block, at in places:
        if block.get("type") == "tool_result":
            if said:
                dialogue.user(said)
                said = []
            if block.get("is_error") is True:
                dialogue.notes["is_error of a result left out (its text tells it)"] += 1
            dialogue.result(text_at(block, "tool_use_id", at), _returned(block, at, dialogue.notes))
        elif block.get("type") == "image":
            said.append(_image(block, at))
        else:
            said.append(_text(block, at))
    if said:
        dialogue.user(said)


def _text(block: Json, at: str) -> str:
    if block.get("type") != "text":
        raise Untranslatable(at, f"a block of type {named(block.get('type'))} can't be said in a chat completion")
    return text_at(block, "text", at)


def _image(block: Json, at: str) -> Json:
    source = object_at(block.get("source"), f"{at}.source")
    if source.get("type") == "base64":
        url = f"data:{text_at(source, 'media_type', at)};base64,{text_at(source, 'data', at)}"
    elif source.get("type") == "url":
        url = text_at(source, "url", at)
    else:
        raise Untranslatable(at, f"an image of source {named(source.get('type'))} isn't there")
    return {"type": "image_url", "image_url": {"url": url}}


def _returned(block: Json, at: str, notes: Counter[str]) -> str:
    """A result's text. Chat completions have nothing else there, so the kind of another part stands for it."""
    content = block.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for number, part in enumerate(content):
        part = object_at(part, f"{at}.content.{number}")
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
            continue
        kind = named(part.get("type"))
        notes[f"{kind} of a result left out"] += 1
        texts.append(f"[{kind}]")
    return "\n".join(texts)


def _tools(body: Json, notes: Counter[str]) -> dict[str, Any]:
    tools = given_tools(list_at(body, "tools"), notes, named)
    choice = body.get("tool_choice")
    choice = {} if choice is None else object_at(choice, "tool_choice")
    kind = choice.get("type", "auto")
    if kind == "none" or not tools.declared:
        if kind in ("any", "tool"):
            raise Untranslatable("tool_choice", "no tool is left that the model could call")
        return {}
    asked: dict[str, Any] = {"tools": tools.declared}
    if kind == "any":
        asked["tool_choice"] = "required"
    elif kind == "tool":
        name = text_at(choice, "name", "tool_choice")
        if name not in tools.names:
            raise Untranslatable("tool_choice.name", "is none of the tools that the model could call")
        asked["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind != "auto":
        raise Untranslatable("tool_choice.type", "must be auto, any, tool or none")
    if choice.get("disable_parallel_tool_use") is True:
        asked["parallel_tool_calls"] = False
    return asked
