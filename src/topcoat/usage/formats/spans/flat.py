"""Messages that a span spreads over numbered attributes: OpenLLMetry's and OpenInference's conventions.

gen_ai.prompt.0.role, gen_ai.prompt.0.content, gen_ai.completion.0.tool_calls.0.name          OpenLLMetry, until 2025
llm.input_messages.0.message.role, llm.output_messages.0.message.tool_calls.0.tool_call.id    OpenInference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topcoat.usage.formats.shapes import Json, as_json

__all__ = ["flat_tools", "messages_under"]

_TOOLS = ("llm.request.functions", "llm.tools")


def messages_under(attributes: Json, prefix: str) -> list[dict[str, Any]]:
    """The messages under `prefix` in OpenAI's form, in their order."""
    return [
        _message(item.get("message", item)) for item in _listed(_under(attributes, prefix)) if isinstance(item, dict)
    ]


def flat_tools(attributes: Json) -> list[Any]:
    """The tools of a request, each as an object or as JSON text."""
    found = []
    for prefix in _TOOLS:
        for item in _listed(_under(attributes, prefix)):
            tool = item.get("tool", item) if isinstance(item, dict) else {}
            schema = tool.get("json_schema")
            found.append(schema if schema else {**tool, "parameters": _or_text(tool.get("parameters"))})
    return found


def _message(flat: Mapping[str, Any]) -> dict[str, Any]:
    calls = [call.get("tool_call", call) for call in _listed(flat.get("tool_calls")) if isinstance(call, dict)]
    if isinstance(flat.get("function_call"), dict):
        calls.append(flat["function_call"])
    contents = [part.get("message_content", part) for part in _listed(flat.get("contents")) if isinstance(part, dict)]
    thoughts = [str(part.get("text") or "") for part in contents if part.get("type") == "reasoning"]
    parts = [part for part in contents if part.get("type") != "reasoning"]
    content = _or_text(flat.get("content")) if "content" in flat else parts or None
    return {
        "role": flat.get("role") or ("tool" if flat.get("tool_call_id") else "assistant"),
        "content": content if isinstance(content, list) else flat.get("content"),
        "tool_calls": [_call(call) for call in calls],
        "tool_call_id": flat.get("tool_call_id"),
        "name": flat.get("name"),
        "reasoning": "\n".join(thoughts) or flat.get("reasoning"),
        "finish_reason": flat.get("finish_reason"),
    }


def _call(flat: Mapping[str, Any]) -> dict[str, Any]:
    function = flat["function"] if isinstance(flat.get("function"), dict) else flat
    return {"id": flat.get("id"), "function": {"name": function.get("name"), "arguments": function.get("arguments")}}


def _or_text(value: object) -> Any:
    """What a text says as JSON, if it is a list or an object; otherwise the value as it is."""
    if not isinstance(value, str) or not value.startswith(("[{", "{")):
        return value
    try:
        return as_json(value)
    except (ValueError, RecursionError):
        return value


def _under(attributes: Json, prefix: str) -> dict[str, Any]:
    """The attributes under `prefix`, as nested objects."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(f"{prefix}."):
            continue
        *way, last = name[len(prefix) + 1 :].split(".")
        at = tree
        for step in way:
            below = at.setdefault(step, {})
            if not isinstance(below, dict):
                break
            at = below
        else:
            at[last] = value
    return tree


def _listed(tree: object) -> list[Any]:
    """The items under numbers, in their order."""
    if not isinstance(tree, dict):
        return []
    return [tree[key] for key in sorted((key for key in tree if key.isdigit()), key=int)]
