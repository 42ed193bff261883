"""Reads the turns of a message in a chat log, and the answers that a log keeps beside its messages.

A message's content may be a list of blocks: text, calls, results and thoughts, as Anthropic's Messages API has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from topcoat.usage.events import ToolCall
from topcoat.usage.turns import Spoken, spoken

__all__ = ["answers_beside", "is_langchain", "keys_of", "system_beside", "turns_of"]

Json = Mapping[str, Any]

_PLACES = ("response", "choices", "output", "completion")
"""The keys beside `messages` that may have the answer."""


def turns_of(message: Json) -> list[Spoken]:
    """The turns of a message, several if its blocks have results. Raises `ValueError`."""
    if is_langchain(message):
        return _langchain(message)
    if "role" not in message:
        raise ValueError(f"a message has no role; its keys are {keys_of(message)}")
    content = message.get("content")
    if not isinstance(content, list) or not any(_kind(block) for block in content):
        return [spoken(message)]
    return list(_turns_in(message, content))


_LANGCHAIN = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool", "function": "tool"}


def is_langchain(message: object) -> bool:
    """Whether a message is of LangChain's messages_to_dict: {"type": "human", "data": {"content": ...}}."""
    if not isinstance(message, dict) or "role" in message or message.get("type") not in _LANGCHAIN:
        return False
    data = message.get("data")
    return isinstance(data, dict) and "content" in data


def _langchain(message: Json) -> list[Spoken]:
    data = message["data"]
    content, calls = data["content"], [*(data.get("tool_calls") or ()), *(data.get("invalid_tool_calls") or ())]
    given = [ToolCall.given(call.get("id"), call.get("name"), call.get("args")) for call in calls]
    if given and isinstance(content, list):  # the provider's own blocks repeat the calls
        content = [block for block in content if _kind(block) != "call"]
    said = {"role": _LANGCHAIN[message["type"]], "content": content, "name": data.get("name")}
    if not given:
        said["tool_calls"] = (data.get("additional_kwargs") or {}).get("tool_calls")
    turns = turns_of({**said, "tool_call_id": data.get("tool_call_id")})
    failed = True if data.get("status") == "error" else None
    if not turns:
        return [Spoken("assistant", None, tuple(given))]
    last = turns[-1]
    return [*turns[:-1], replace(last, calls=(*last.calls, *given), failed=failed)]


def system_beside(document: Json) -> list[Spoken]:
    """The system turn of a document that has it under `system`, not among its messages. Raises `ValueError`."""
    said = document.get("system")
    if not said or any(m.get("role") in ("system", "developer") for m in document["messages"] if isinstance(m, dict)):
        return []
    return [spoken({"role": "system", "content": said})]


def answers_beside(document: Json) -> list[list[Spoken]]:
    """The answers to a document's messages, under one of its other keys: one each choice, empty if there is none.

    Raises `ValueError` if such a key has something else.
    """
    for place in _PLACES:
        if document.get(place):
            return _answers(document[place], place)
    return []


def keys_of(document: Json) -> str:
    """The keys of a document for a message: the first twelve."""
    keys = [str(key) for key in document]
    return ", ".join(keys[:12]) + (", ..." if len(keys) > 12 else "")


def _kind(block: object) -> str:
    """What a block is: "call", "result" or "thought", "" for a block that is (or stands for) text."""
    kind = str(block.get("type")) if isinstance(block, dict) else ""
    if kind.endswith("tool_use"):
        return "call"
    if kind.endswith("tool_result"):
        return "result"
    return "thought" if kind in ("thinking", "redacted_thinking") else ""


def _turns_in(message: Json, blocks: list[Any]) -> Iterator[Spoken]:
    texts: list[Any] = []
    calls: list[ToolCall] = []
    thoughts: list[str] = []

    def said() -> Iterator[Spoken]:
        if texts or calls or thoughts:
            turn = spoken({**message, "content": list(texts) or None})
            reasoning = turn.reasoning or "".join(thoughts)
            yield replace(turn, calls=(*turn.calls, *calls), reasoning=reasoning)
        for gathered in (texts, calls, thoughts):
            gathered.clear()

    for block in blocks:
        match _kind(block):
            case "call":
                if not block.get("name"):
                    raise ValueError(f"a {block['type']} without a name")
                calls.append(ToolCall.given(block.get("id"), block["name"], block.get("input")))
            case "thought":
                thoughts.append(str(block.get("thinking") or ""))
            case "result":
                yield from said()
                failed = block.get("is_error")
                yield Spoken(
                    "tool",
                    _returned(block.get("content")),
                    call_id=str(block.get("tool_use_id") or ""),
                    failed=failed if isinstance(failed, bool) else None,
                )
            case _:
                texts.append(block)
    yield from said()


def _returned(content: object) -> object:
    """A result's content: the text of its blocks, if all are text."""
    if isinstance(content, list) and all(isinstance(b, dict) and isinstance(b.get("text"), str) for b in content):
        return "\n".join(block["text"] for block in content)
    return content


# Answers


def _answers(value: object, place: str) -> list[list[Spoken]]:
    if isinstance(value, str):
        written = _written(value)
        return _answers(written, place) if written else [[Spoken("assistant", value)]]
    if isinstance(value, dict):
        return _answers_of(value, place)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        if all("message" in item or ("text" in item and "type" not in item) for item in value):  # choices
            return [turns for item in value for turns in _answers_of(item, place)]
        if all("role" in item and "type" not in item for item in value):
            return [[turn for item in value for turn in turns_of(item)]]
        return [_items(value, place)]
    raise ValueError(f"{place}: is no answer")


def _answers_of(found: Json, place: str) -> list[list[Spoken]]:
    for inner in ("choices", "output"):
        if found.get(inner):
            return _answers(found[inner], f"{place}.{inner}")
    message = found.get("message", found)
    finish = str(found.get("finish_reason") or found.get("stop_reason") or found.get("done_reason") or "")
    if isinstance(message, dict) and ("content" in message or message.get("tool_calls")):
        if message.get("role") not in (None, "assistant"):
            raise ValueError(f"{place}: an answer's role can't be {message['role']!r}")
        turns = turns_of({**message, "role": "assistant"})
        return [[*turns[:-1], replace(turns[-1], finish=finish)]] if turns else []
    if isinstance(found.get("text"), str):
        return [[Spoken("assistant", found["text"], finish=finish)]]
    raise ValueError(f"{place}: is no answer; its keys are {keys_of(found)}")


def _items(items: list[Json], place: str) -> list[Spoken]:
    """The answer in the output items of OpenAI's Responses API, or in blocks without a message around them."""
    blocks: list[Any] = []
    for item in items:
        kind = item.get("type")
        if kind == "message":
            blocks += item["content"] if isinstance(item.get("content"), list) else [{"text": item.get("content")}]
        elif kind == "function_call":
            if not item.get("name"):
                raise ValueError(f"{place}: a call without a name")
            arguments = item.get("arguments")
            call = {"type": "tool_use", "id": item.get("call_id"), "name": item["name"], "input": arguments}
            blocks.append(call)
        elif kind == "reasoning":
            summary = item.get("summary") or ()
            blocks += [{"type": "thinking", "thinking": part.get("text")} for part in summary]
        elif _kind(item) or isinstance(item.get("text"), str):
            blocks.append(item)
        else:
            raise ValueError(f"{place}: is no answer; it has an item of type {kind!r}")
    return turns_of({"role": "assistant", "content": blocks})


def _written(text: str) -> Json | None:
    """A completion that was written as JSON text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.keys() & {"choices", "output", "message", "role"} else None
