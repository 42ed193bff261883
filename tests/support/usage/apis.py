"""One dialogue, as the clients of three APIs send it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from topcoat.usage.events import ToolCall
from topcoat.usage.turns import Spoken

__all__ = ["TOOL_NAMES", "chat_body", "in_api", "messages_body", "responses_body"]

Body = dict[str, Any]

TOOL_NAMES = ("read_file", "run", "git_diff")
_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}


def chat_body(turns: Sequence[Spoken]) -> Body:
    tools = [{"type": "function", "function": {"name": name, "parameters": _SCHEMA}} for name in TOOL_NAMES]
    return {"model": "any", "max_tokens": 99, "messages": [_chat(turn) for turn in turns], "tools": tools}


def _chat(turn: Spoken) -> Body:
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.call_id, "content": turn.content}
    message: Body = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        message["reasoning_content"] = turn.reasoning
    if turn.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ]
    return message


def messages_body(turns: Sequence[Spoken]) -> Body:
    """As Anthropic's clients send it: results are blocks of the user's message, with what the user says after them."""
    tools = [{"name": name, "input_schema": _SCHEMA} for name in TOOL_NAMES]
    body: Body = {"model": "any", "max_tokens": 99, "messages": [], "tools": tools}
    for turn in turns:
        if turn.role == "system":
            body["system"] = turn.content
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        if not body["messages"] or body["messages"][-1]["role"] != role:
            body["messages"].append({"role": role, "content": []})
        body["messages"][-1]["content"] += _blocks(turn)
    return body


def _blocks(turn: Spoken) -> list[Body]:
    if turn.role == "tool":
        failed = {} if turn.failed is None else {"is_error": turn.failed}
        return [{"type": "tool_result", "tool_use_id": turn.call_id, "content": turn.content, **failed}]
    blocks: list[Body] = []
    if turn.reasoning:
        blocks.append({"type": "thinking", "thinking": turn.reasoning, "signature": "s"})
    if turn.content is not None:
        blocks.append({"type": "text", "text": turn.content})
    return [*blocks, *({"type": "tool_use", "id": c.id, "name": c.name, "input": c.meant} for c in turn.calls)]


def responses_body(turns: Sequence[Spoken]) -> Body:
    """As clients of OpenAI's Responses API send it: each call and each result is an item."""
    tools = [{"type": "function", "name": name, "parameters": _SCHEMA, "strict": False} for name in TOOL_NAMES]
    body: Body = {"model": "any", "max_output_tokens": 99, "input": [], "tools": tools, "store": False}
    for turn in turns:
        if turn.role == "system":
            body["instructions"] = turn.content
        else:
            body["input"] += _items(turn)
    return body


def _items(turn: Spoken) -> list[Body]:
    if turn.role == "tool":
        return [{"type": "function_call_output", "call_id": turn.call_id, "output": turn.content}]
    items: list[Body] = []
    if turn.reasoning:
        items.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": turn.reasoning}]})
    if turn.content is not None:
        kind = "output_text" if turn.role == "assistant" else "input_text"
        items.append({"type": "message", "role": turn.role, "content": [{"type": kind, "text": turn.content}]})
    return [*items, *(_call_item(call) for call in turn.calls)]


def _call_item(call: ToolCall) -> Body:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


_BODIES = {"chat": chat_body, "messages": messages_body, "responses": responses_body}


def in_api(api: str, turns: Sequence[Spoken], **fields: Any) -> bytes:
    """The body of a request."""
    return json.dumps({**_BODIES[api](turns), **fields}).encode()
