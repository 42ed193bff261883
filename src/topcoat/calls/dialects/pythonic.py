"""Calls written as Python: `[NAME(key=value), ...]`. LFM2 and Llama write them in marks, Gemma 3 in a fenced block."""

from __future__ import annotations

import ast

from topcoat.calls.block import CUT, Block, Broken, made_of
from topcoat.spec.python_source import parse_module

__all__ = ["calls_of_python", "read_pythonic", "read_tool_code"]

_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
"""Names in JSON's spelling: templates write nested values so."""


def read_pythonic(text: str) -> list[Block]:
    """`<|tool_call_start|>[NAME(key=value)]<|tool_call_end|>`; LFM2 also writes JSON between the marks."""
    calls: list[Block] = []
    for part in text.split("<|tool_call_start|>")[1:]:
        source, closed, _ = part.partition("<|tool_call_end|>")
        calls += _calls(source, whole=bool(closed))
    return calls


def read_tool_code(text: str) -> list[Block]:
    """Python's calls in a block fenced as `tool_code`, with or without `print`."""
    calls: list[Block] = []
    for part in text.split("```tool_code")[1:]:
        source, closed, _ = part.partition("```")
        calls += _calls(source, whole=bool(closed))
    return calls


def _calls(source: str, *, whole: bool) -> list[Block]:
    found = calls_of_python(source.strip())
    if found is not None and (found or whole):
        return found
    return [Broken("a tool call can't be read as Python" if whole else CUT)]


def calls_of_python(source: str) -> list[Block] | None:
    """The calls of a text that holds nothing but calls, one a line or in a list. None if it holds anything else."""
    try:
        body = parse_module(source).body
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    calls: list[Block] = []
    for statement in body:
        value = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
        for item in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
            call = _call(item)
            if call is None:
                return None
            calls.append(call)
    return calls


def _call(node: ast.expr | None) -> Block | None:
    if isinstance(node, ast.Call) and _dotted(node.func) == "print" and len(node.args) == 1 and not node.keywords:
        node = node.args[0]
    if isinstance(node, ast.Dict):
        document = _value(node)
        found = isinstance(document, dict) and isinstance(document.get("name"), str) and "arguments" in document
        return made_of(document["name"], document["arguments"]) if found and isinstance(document, dict) else None
    if not isinstance(node, ast.Call) or (name := _dotted(node.func)) is None:
        return None
    arguments: dict[str, object] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            return Broken(f"{name} is called with arguments that the text doesn't show")
        arguments[keyword.arg] = _value(keyword.value)
    if node.args or any(value is _UNKNOWN for value in arguments.values()):
        return Broken(f"{name} is called with arguments that have no name or no value")
    return made_of(name, arguments)


_UNKNOWN = object()


def _value(node: ast.expr) -> object:
    """A literal's value. `_UNKNOWN` for anything else."""
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(item) for item in node.elts]
        return _UNKNOWN if any(item is _UNKNOWN for item in items) else items
    if isinstance(node, ast.Dict):
        return _dict_value(node)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN
    return value if value is None or isinstance(value, str | int | float | bool) else _UNKNOWN


def _dict_value(node: ast.Dict) -> object:
    made: dict[str, object] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        name, value = _value(key) if key else _UNKNOWN, _value(item)
        if not isinstance(name, str) or value is _UNKNOWN:
            return _UNKNOWN
        made[name] = value
    return made


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` of names and attributes."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None
