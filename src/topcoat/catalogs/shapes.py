"""Reads lists of tools as the providers' interfaces write them, each as OpenAI's.

OpenAI              {"type": "function", "function": {"name", "description", "parameters"}}
OpenAI's Responses  {"type": "function", "name", "description", "parameters"}
OpenAI's functions  {"name", "description", "parameters"}, before there were tools
MCP                 {"name", "description", "inputSchema"}
Anthropic           {"name", "description", "input_schema"}
Gemini              {"functionDeclarations": [{"name", "description", "parameters" or "parametersJsonSchema"}]}
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topcoat.catalogs.openapi.dialect import Dialect
from topcoat.catalogs.read_tools import ReadTools, function_tool
from topcoat.catalogs.schema_tree import rebuilt
from topcoat.errors import InvalidInput, Where

__all__ = ["add_tools", "read_list"]

_LISTS = ("tools", "functions", "functionDeclarations", "function_declarations")
_SCHEMA_KEYS = {
    "inputSchema": "MCP",
    "input_schema": "Anthropic",
    "parametersJsonSchema": "Gemini",
    "parameters_json_schema": "Gemini",
    "parameters": "OpenAI's functions",
}
_MOST_KEYS = 12
_GEMINI_NUMBERS = ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")


def read_list(document: object, path: Path) -> ReadTools:
    """The tools of a document, read from `path`. Raises `InvalidInput` if it holds no list of tools."""
    if isinstance(document, dict) and isinstance(document.get("result"), dict):  # MCP's answer in its envelope
        document = document["result"]
    items = document if isinstance(document, list) else _listed(document, path)
    found = ReadTools("")
    add_tools(found, items)
    if not found.tools:
        what = "; ".join(f"{left.what}: {', '.join(left.names[:3])}" for left in found.left_out)
        raise InvalidInput(f"holds no tool{f' ({what})' if what else ''}", where=Where(path), hint=_HINT)
    return found


def add_tools(found: ReadTools, items: list[Any]) -> None:
    """Add each item of a list of tools, in whichever form it is written."""
    forms = dict.fromkeys(found.form.split(" and ") if found.form else ())
    for number, (item, is_gemini) in enumerate(_flat(items), 1):
        function = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            found.leave_out("no tools, as they have no name", f"item {number}")
        elif isinstance(item, dict) and function is not item:
            forms["OpenAI"] = None
            found.tools.append(item if item.get("type") == "function" else {**item, "type": "function"})
        else:
            key = next((key for key in _SCHEMA_KEYS if key in function), None)
            kind = function.get("type", "function")
            if key is None and kind not in ("function", "custom"):
                found.leave_out(f"tools of type {kind!r}, which are no functions", function["name"])
                continue
            forms[_form(key, kind if "type" in function else None, is_gemini)] = None
            _add(found, function, key, is_gemini)
    found.form = " and ".join(forms)


def _form(key: str | None, kind: object, is_gemini: bool) -> str:
    if is_gemini:
        return "Gemini"
    if key == "parameters" and kind == "function":
        return "OpenAI's Responses"
    return _SCHEMA_KEYS.get(key or "parameters", "OpenAI")


def _add(found: ReadTools, function: dict[str, Any], key: str | None, is_gemini: bool) -> None:
    """Add one tool. What a list in OpenAI's form has no place for is left out, and told."""
    name, description, title = function["name"], function.get("description"), function.get("title")
    schema = function[key] if key is not None and function[key] is not None else {"type": "object", "properties": {}}
    if is_gemini and key == "parameters":
        schema = _of_gemini(schema, Dialect())
    words = description or (title if isinstance(title, str) else "")
    kept = {"name", "description", "type", key, *(["title"] if words == title else [])}
    for other in (other for other in function if other not in kept and function[other] is not None):
        found.leave_out(f'"{other}", for which the list has no place', name)
    tool = function_tool(name, words, schema)
    if "strict" in function and key == "parameters":
        tool["function"]["strict"] = function["strict"]
    found.tools.append(tool)


def _flat(items: list[Any]) -> Iterator[tuple[Any, bool]]:
    """Each item, those of Gemini's declarations out of their lists, and whether it is one of Gemini's."""
    for item in items:
        declared = [item[key] for key in _LISTS[2:] if isinstance(item, dict) and isinstance(item.get(key), list)]
        if declared:
            yield from ((inner, True) for inner in declared[0])
        else:
            yield item, False


def _of_gemini(schema: Any, dialect: Dialect) -> Any:
    """A schema of Gemini's: OpenAPI 3.0's with types in capitals and, as protobuf writes them, counts as texts."""
    if not isinstance(schema, dict):
        return schema
    built = rebuilt(schema, lambda inner: _of_gemini(inner, dialect))
    built.pop("propertyOrdering", None)
    if isinstance(built.get("type"), str):
        built["type"] = built["type"].lower()
    for key in _GEMINI_NUMBERS:
        if isinstance(built.get(key), str) and built[key].isascii() and built[key].isdecimal():
            built[key] = int(built[key][:18])
    return dialect.convert(built)


_HINT = 'topcoat catalog import FILE reads [{"type": "function", "function": {"name": ..., "parameters": {...}}}]'


def _listed(document: object, path: Path) -> list[Any]:
    """The list of tools in an object."""
    if not isinstance(document, dict):
        raise InvalidInput("must be a list of tools, or an object that holds one", where=Where(path), hint=_HINT)
    servers = document.get("mcpServers", document.get("servers"))
    if isinstance(servers, dict):
        message = "this lists MCP servers, not tools: each is asked for its own"
        raise InvalidInput(message, where=Where(path), hint=_of_server(servers))
    for key in _LISTS:
        if isinstance(document.get(key), list):
            return [document] if key in _LISTS[2:] else list(document[key])
    if "name" in document or "function" in document:
        return [document]
    keys = ", ".join(list(document)[:_MOST_KEYS])
    raise InvalidInput(f"holds no list of tools; its keys are {keys or 'none'}", where=Where(path), hint=_HINT)


def _of_server(servers: dict[str, Any]) -> str:
    """The command that imports the tools of the first server."""
    server = next(iter(servers.values()), None)
    parts = server if isinstance(server, dict) else {}
    url, arguments = parts.get("url"), parts.get("args")
    if isinstance(url, str):
        return f"topcoat catalog import {shlex.quote(url)}"
    command = [parts.get("command", "COMMAND"), *(arguments if isinstance(arguments, list) else [])]
    return f"topcoat catalog import --mcp {shlex.quote(shlex.join(map(str, command)))}"
