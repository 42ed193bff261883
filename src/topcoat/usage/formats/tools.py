"""The tools that a request brings, in the form of any API, as OpenAI's chat completions write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.shapes import Json, as_json

__all__ = ["full_name", "tools_of"]

_WRITTEN = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The parameters of OpenAI's custom tools: a call of one is a text of any form, which readers keep as `input`."""
_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema")
"""The keys of a tool's schema: OpenAI's, Anthropic's, MCP's and the AI SDK's, Gemini's."""


def tools_of(given: object, report: Report) -> list[dict[str, Any]] | None:
    """The tools of a request; None if it brings none. The provider's own, which have no schema, are passed over.

    Raises `ValueError` if they are written as JSON text that isn't JSON.
    """
    given = as_json(given)
    if not isinstance(given, list):
        return None
    found = []
    objects = [tool for item in given if isinstance(tool := as_json(item), dict)]
    if len(objects) < len(given):
        report.passed["tool that is no object"] += len(given) - len(objects)
    for tool in _declared(objects):
        if (written := _written(tool)) is not None:
            found.append(written)
        else:
            report.passed[f"tool of type {tool.get('type') or next(iter(tool), 'nothing')}"] += 1
    return found or None


def full_name(namespace: object, name: str) -> str:
    """The name of a tool that stands in a namespace, as OpenAI's Responses API and Codex group tools."""
    space = str(namespace or "")
    return f"{space}{'' if space.endswith('_') else '__'}{name}" if space else name


def _declared(given: Sequence[Json]) -> Iterator[Json]:
    for tool in given:
        spaced = tool.get("tools") if tool.get("type") == "namespace" else None
        if isinstance(spaced, list) and spaced:
            inner = [each for each in spaced if isinstance(each, dict)]
            yield from ({**each, "name": full_name(tool.get("name"), str(each.get("name")))} for each in inner)
            continue
        gemini = tool.get("functionDeclarations") or tool.get("function_declarations")
        yield from (each for each in gemini if isinstance(each, dict)) if isinstance(gemini, list) else [tool]


def _written(tool: Json) -> dict[str, Any] | None:
    function = tool.get("function") if isinstance(tool.get("function"), dict) else tool
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    schema = next((function[key] for key in _SCHEMAS if isinstance(function.get(key), dict)), None)
    if schema is None and function is tool and tool.get("type") == "custom":
        schema = _WRITTEN
    if schema is None and function is tool and tool.get("type", "function") != "function":
        return None
    inner = schema.get("jsonSchema") if schema else None  # the AI SDK wraps it
    described = function.get("description")
    written = {"name": function["name"], **({"description": described} if isinstance(described, str) else {})}
    parameters = inner if isinstance(inner, dict) else schema or {"type": "object", "properties": {}}
    return {"type": "function", "function": {**written, "parameters": dict(parameters)}}
