"""Reads a catalog from a list of tools with JSON Schemas: OpenAI's `tools`, or the answer of MCP's `tools/list`.

[{"type": "function", "function": {"name": "read_file", "description": "...", "parameters": {"type": "object", ...}}}]
{"tools": [{"name": "read_file", "description": "...", "inputSchema": {"type": "object", ...}}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import canonical_json
from topcoat.spec.reading.json_text import Unreadable, parse_json
from topcoat.spec.tools.catalog import Catalog, Tool
from topcoat.spec.tools.json_schema import schema_fault
from topcoat.spec.tools.signatures import parameters_of, stubs_of
from topcoat.spec.tools.types import UNKNOWN

__all__ = ["own_catalog", "parse_tool_list", "read_tools", "tool_faults"]

_HINT = 'a tool list holds {"type": "function", "function": {"name": "NAME", "parameters": {"type": "object"}}}'
_SCHEMA_KEYS = ("inputSchema", "input_schema", "parameters")
"""Where MCP, Anthropic and OpenAI write the schema of the arguments."""
_LONGEST_NAME = 200
_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def parse_tool_list(source: str, path: Path) -> Catalog:
    """The catalog in `source`. Messages name `path`. Raises `InvalidInput` with every mistake."""
    tools, mistakes = read_tools(source, path)
    if not tools and not mistakes:
        mistakes.append(Mistake("holds no tool", Where(path), _HINT))
    if mistakes:
        raise InvalidInput.collect(str(path), mistakes)
    return _catalog(tools, path)


def read_tools(source: str, path: Path) -> tuple[list[Tool], list[Mistake]]:
    """The tools in `source` without fault, and the mistakes of the others. Raises `InvalidInput` for no list."""
    items, lines = _items(source, path)
    faults = tool_faults(items)
    mistakes = [Mistake(message, Where(path, lines[index]), _HINT) for index, message in faults]
    faulty = {index for index, _ in faults}
    placed = enumerate(zip(items, lines, strict=True))
    return [_tool(item, line) for index, (item, line) in placed if index not in faulty], mistakes


def own_catalog(tools: Sequence[Mapping[str, Any]], path: Path) -> Catalog:
    """The catalog of a dialogue that brings its own tools, in which `tool_faults` finds nothing."""
    return _own_catalog(canonical_json(list(tools)), path)


@lru_cache(maxsize=1024)
def _own_catalog(tools: str, path: Path) -> Catalog:
    return _catalog([_tool(item, 0) for item in json.loads(tools)], path)


def _catalog(tools: Sequence[Tool], path: Path) -> Catalog:
    return Catalog(path, {tool.name: tool for tool in tools}, source=stubs_of(tools), form="json")


def tool_faults(items: Sequence[object]) -> list[tuple[int, str]]:
    """The mistakes in a list of tools: each with its place in the list."""
    faults: list[tuple[int, str]] = []
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        fault = _fault(item)
        if fault:
            faults.append((index, fault))
            continue
        name = _function(item)["name"]
        if first.setdefault(name, index) != index:
            faults.append((index, f'"{name}" is already the name of tool {first[name] + 1}'))
    return faults


def _fault(item: object) -> str:
    """The fault of one tool, "" if it has none."""
    if not isinstance(item, dict):
        return "a tool is an object"
    function = _function(item)
    if not isinstance(function, dict):
        return '"function" must be an object'
    if item.get("type", "function") != "function" and "function" not in item and _schema(function) is None:
        return f"a tool of type {json.dumps(item['type'])[:60]} has no schema: only functions can be called here"
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        return 'a tool needs a "name"'
    if len(name) > _LONGEST_NAME or name != name.strip() or not name.isprintable():
        return f"{name[:60]!a} is no name of a tool"
    if not isinstance(function.get("description") or "", str):
        return f'the description of "{name}" is not a text'
    schema = _schema(function)
    if schema is None:
        return ""
    if not isinstance(schema, dict):
        return f'the parameters of "{name}" are not a JSON schema'
    return _schema_fault(name, schema)


def _schema_fault(name: str, schema: Mapping[str, Any]) -> str:
    if schema.get("type", "object") != "object":
        return f'the parameters of "{name}" must be an object\'s schema, not of type {json.dumps(schema["type"])[:60]}'
    if not isinstance(schema.get("properties", {}), dict):
        return f'the properties of "{name}" must be an object'
    fault = schema_fault(schema)
    return f'the parameters of "{name}" are {fault}' if fault.startswith("not ") else fault and f'"{name}": {fault}'


def _function(item: Any) -> Any:
    return item.get("function", item)


def _schema(function: Mapping[str, Any]) -> Any:
    return next((function[key] for key in _SCHEMA_KEYS if function.get(key) is not None), None)


def _tool(item: Mapping[str, Any], line: int) -> Tool:
    """The tool of an item without fault. An item in OpenAI's form is declared as it is written."""
    function = _function(item)
    schema = _schema(function) or {}
    declared: Mapping[str, Any] = item
    if item.get("type") != "function" or function is item or "parameters" not in function:
        described = {"description": function["description"]} if function.get("description") else {}
        whole = schema or {"type": "object", "properties": {}}
        declared = {"type": "function", "function": {"name": function["name"], **described, "parameters": whole}}
    description = function.get("description") or ""
    return Tool(function["name"], parameters_of(schema), UNKNOWN, description, line, declared=declared)


def _items(source: str, path: Path) -> tuple[list[Any], list[int]]:
    """The items of the list, and the line of each."""
    try:
        document = parse_json(source)
    except Unreadable as problem:
        mistake = Mistake(problem.message, Where(path, problem.line), problem.hint or _HINT)
        raise InvalidInput.collect(str(path), [mistake]) from None
    start = _after_space(source, 0)
    for key in ("result", "tools"):  # MCP's answer may stand in its envelope
        if isinstance(document, dict) and isinstance(document.get(key), dict | list):
            document, start = document[key], _value_of(key, source, start)
    if not isinstance(document, list):
        message = 'must be a list of tools, or an object with the list "tools"'
        raise InvalidInput.collect(str(path), [Mistake(message, Where(path, 1), _HINT)])
    return document, list(_lines(source, start, len(document)))


def _lines(source: str, opening: int, count: int) -> Iterator[int]:
    """The line of each of `count` items of the list that begins at `opening`."""
    position, line, counted = opening + 1, 1, 0
    for _ in range(count):
        position = _after_space(source, position, _SPACE + ",")
        line, counted = line + source.count("\n", counted, position), position
        yield line
        _, position = _DECODER.raw_decode(source, position)


def _value_of(key: str, source: str, opening: int) -> int:
    """Where the value of `key` begins in the object that begins at `opening`. Of several, JSON takes the last."""
    position, found = opening + 1, opening
    while source[position := _after_space(source, position, _SPACE + ",")] != "}":
        name, position = _DECODER.raw_decode(source, position)
        position = _after_space(source, position, _SPACE + ":")
        found = position if name == key else found
        _, position = _DECODER.raw_decode(source, position)
    return found


def _after_space(source: str, position: int, space: str = _SPACE) -> int:
    while source[position] in space:
        position += 1
    return position
