"""Translates a request of OpenAI's Responses API to a chat completion's.

What chat completions have no word for is left out and noted, or refused where the answer would be to another question.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
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
from topcoat.usage.formats.tools import full_name

__all__ = ["responses_to_chat"]

_SAME = {
    "model": "model",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "user": "user",
}
_OWN = {"instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "stream", "text"}
_WITHOUT_EFFECT = {"store", "metadata", "client_metadata", "stream_options", "safety_identifier"}
_WITHOUT_EFFECT |= {"prompt_cache_key", "prompt_cache_retention"}
"""What changes no answer. Nothing is stored, and every answer says so (`store`)."""
_REFUSED = {
    "previous_response_id": "topcoat keeps no responses, so a request must bring its whole input",
    "conversation": "topcoat keeps no conversations, so a request must bring its whole input",
    "background": "topcoat answers a request while its connection is open, and at no other time",
    "prompt": "topcoat keeps no prompts",
}
_SHELLS = ("local_shell_call", "shell_call", "apply_patch_call")


def responses_to_chat(body: Json) -> ChatRequest:
    """The chat completion's request that asks the same. Raises `Untranslatable`."""
    notes: Counter[str] = Counter()
    for key, reason in _REFUSED.items():
        if body.get(key):
            raise Untranslatable(key, reason)
    dialogue = Dialogue(notes)
    if body.get("instructions"):
        dialogue.system(text_at(body, "instructions", ""))
    for number, item in enumerate(_items(body)):
        _add_item(object_at(item, f"input.{number}"), f"input.{number}", dialogue)
    messages = dialogue.messages
    if all(message["role"] == "system" for message in messages):
        raise Untranslatable("input", "must say something")
    asked: dict[str, Any] = {chat: body[key] for key, chat in _SAME.items() if body.get(key) is not None}
    asked["messages"] = messages
    tools = given_tools(list_at(body, "tools"), notes, named)
    asked |= _choice(body, tools.declared)
    asked |= _format(body, notes)
    if body.get("stream") is True:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    for key in body:
        if key not in {*_SAME, *_OWN, *_WITHOUT_EFFECT} and body[key]:
            notes[f"{named(key)} left out"] += 1
    return ChatRequest(asked, notes, tools)


def _items(body: Json) -> Sequence[Any]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return list_at(body, "input")


def _add_item(item: Json, at: str, dialogue: Dialogue) -> None:
    kind = str(item.get("type") or ("message" if "role" in item else ""))
    if add := _ITEMS.get(kind):
        add(item, at, dialogue)
    elif kind.endswith("_call") and kind not in _SHELLS:  # a web search and the like, done by the provider
        dialogue.notes[f"item of type {named(kind)} left out"] += 1
    else:
        raise Untranslatable(at, f"an item of type {named(kind)} can't be said in a chat completion")


def _message(item: Json, at: str, dialogue: Dialogue) -> None:
    role, content = item.get("role"), item.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else list_at(item, "content", at)
    said = [_part(object_at(part, f"{at}.content.{n}"), f"{at}.content.{n}") for n, part in enumerate(parts)]
    if role == "user":
        dialogue.user(said)
        return
    if not all(isinstance(part, str) for part in said):
        raise Untranslatable(f"{at}.content", "only a user's message can hold an image")
    text = "".join(map(str, said))
    if role == "assistant":
        dialogue.words(text)
    elif role in ("system", "developer"):
        dialogue.system(text)
    else:
        raise Untranslatable(f"{at}.role", "must be user, assistant, system or developer")


def _part(part: Json, at: str) -> str | Json:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return text_at(part, "text", at)
    if kind == "refusal":
        return text_at(part, "refusal", at)
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    raise Untranslatable(at, f"a part of type {named(kind)} can't be said in a chat completion")


def _reasoning(item: Json, at: str, dialogue: Dialogue) -> None:
    texts = [
        text_at(object_at(part, f"{at}.{key}.{n}"), "text", f"{at}.{key}.{n}")
        for key in ("summary", "content")
        for n, part in enumerate(list_at(item, key, at))
    ]
    if not any(texts) and item.get("encrypted_content"):
        dialogue.notes["encrypted reasoning left out"] += 1
    dialogue.thought("\n".join(filter(None, texts)))


def _call(item: Json, at: str, dialogue: Dialogue) -> None:
    dialogue.call(text_at(item, "call_id", at), _name(item, at), text_at(item, "arguments", at))


def _custom_call(item: Json, at: str, dialogue: Dialogue) -> None:
    arguments = json.dumps({"input": text_at(item, "input", at)}, ensure_ascii=False)
    dialogue.call(text_at(item, "call_id", at), _name(item, at), arguments)


def _name(item: Json, at: str) -> str:
    return full_name(item.get("namespace"), text_at(item, "name", at))


def _shell_call(item: Json, at: str, dialogue: Dialogue) -> None:
    action = object_at(item.get("action") or item.get("operation") or {}, f"{at}.action")
    said = json.dumps({key: value for key, value in action.items() if value is not None}, ensure_ascii=False)
    dialogue.call(_id(item, at), str(item["type"]).removesuffix("_call"), said)


def _output(item: Json, at: str, dialogue: Dialogue) -> None:
    output = item.get("output")
    if isinstance(output, list):
        texts = []
        for number, part in enumerate(output):
            part = object_at(part, f"{at}.output.{number}")
            if not isinstance(part.get("text"), str):
                dialogue.notes[f"{named(part.get('type'))} of a result left out"] += 1
            texts.append(part["text"] if isinstance(part.get("text"), str) else f"[{named(part.get('type'))}]")
        output = "".join(texts)
    elif output is not None and not isinstance(output, str):
        output = json.dumps(output, ensure_ascii=False)
    dialogue.result(_id(item, at), output or "")


def _id(item: Json, at: str) -> str:
    return text_at(item, "call_id" if item.get("call_id") is not None else "id", at)


_ITEMS: dict[str, Callable[[Json, str, Dialogue], None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _custom_call,
    **dict.fromkeys(_SHELLS, _shell_call),
    **dict.fromkeys([f"{kind}_output" for kind in ("function_call", "custom_tool_call", *_SHELLS)], _output),
}


def _choice(body: Json, tools: list[dict[str, Any]]) -> dict[str, Any]:
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        names = {tool.get("name") for tool in list_at(choice, "tools", "tool_choice") if isinstance(tool, dict)}
        tools = [tool for tool in tools if tool["function"]["name"] in names]
        choice = choice.get("mode") or "auto"
    if choice == "none" or (not tools and choice in (None, "auto")):
        return {}
    asked: dict[str, Any] = {"tools": tools}
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        name = text_at(choice, "name", "tool_choice")
        if name not in {tool["function"]["name"] for tool in tools}:
            raise Untranslatable("tool_choice.name", "is none of the tools that the model could call")
        asked["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif choice == "required" and tools:
        asked["tool_choice"] = "required"
    elif choice not in (None, "auto"):
        raise Untranslatable("tool_choice", "no tool is left that the model could call so")
    if body.get("parallel_tool_calls") is False:
        asked["parallel_tool_calls"] = False
    return asked


def _format(body: Json, notes: Counter[str]) -> dict[str, Any]:
    """The form that the answer's text must have."""
    text = body.get("text")
    text = {} if text is None else object_at(text, "text")
    for key in text:
        if key != "format" and text[key]:
            notes[f"text.{named(key)} left out"] += 1
    wanted = text.get("format")
    wanted = {"type": "text"} if wanted is None else object_at(wanted, "text.format")
    if wanted.get("type") == "text":
        return {}
    if wanted.get("type") == "json_schema":
        schema = {key: value for key, value in wanted.items() if key != "type"}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"response_format": dict(wanted)}
