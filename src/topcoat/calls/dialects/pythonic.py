"""Calls written as Python: `[NAME(key=value), ...]`. LFM2 and Llama write them in marks, Gemma 3 in a fenced block."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from topcoat.calls.block import CUT, Block, Broken, made_of
from topcoat.spec.python_source import parse_module

__all__ = ["UNKNOWN", "calls_of_python", "literal", "read_pythonic", "read_tool_code"]

_NAME = re.compile(
    r"""
    (?P<text>
        \"{3}(?:[^"\\]|\\.|"(?!""))*+(?:\"{3})? | '{3}(?:[^'\\]|\\.|'(?!''))*+(?:'{3})?
        | "(?:[^"\\\n]|\\.)*+"? | '(?:[^'\\\n]|\\.)*+'?)         # an open one goes on to the end
    | (?<![\w.\-/])(?P<name>[A-Za-z_][\w.]*+(?:[\-/][\w.]++)++)(?=\()
    """,
    re.VERBOSE | re.DOTALL,
)
"""A text, or a name that is called and isn't Python's: with dashes or slashes."""
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
    """The calls of a text that holds nothing but calls, one a line or in a list. None if it holds anything else.

    Names with dashes or slashes are read too, although Python has none.
    """
    found = _calls_of_names(source, {})
    if found is None:
        names: dict[str, str] = {}
        renamed = _NAME.sub(lambda match: match["text"] or _stand_in(match["name"], names), source)
        found = _calls_of_names(renamed, names) if names else None
    return found


def _stand_in(name: str, names: dict[str, str]) -> str:
    """A name of Python's for `name`, which is kept in `names`."""
    stand_in = f"tool_{len(names)}_of_the_answer"
    names[stand_in] = name
    return stand_in


def _calls_of_names(source: str, names: Mapping[str, str]) -> list[Block] | None:
    """The calls. `names` has the real names of those that stand in for others."""
    try:
        body = parse_module(source).body
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    calls: list[Block] = []
    for statement in body:
        value = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
        for item in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
            call = _call(item, names)
            if call is None:
                return None
            calls.append(call)
    return calls


def _call(node: ast.expr | None, names: Mapping[str, str]) -> Block | None:
    if isinstance(node, ast.Call) and _dotted(node.func) == "print" and len(node.args) == 1 and not node.keywords:
        node = node.args[0]
    if isinstance(node, ast.Dict):
        document = literal(node)
        found = isinstance(document, dict) and isinstance(document.get("name"), str) and "arguments" in document
        return made_of(document["name"], document["arguments"]) if found and isinstance(document, dict) else None
    if not isinstance(node, ast.Call) or (name := _dotted(node.func)) is None:
        return None
    name = names.get(name, name)
    arguments: dict[str, object] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            return Broken(f"{name} is called with arguments that the text doesn't show")
        arguments[keyword.arg] = literal(keyword.value)
    if node.args or any(value is UNKNOWN for value in arguments.values()):
        return Broken(f"{name} is called with arguments that have no name or no value")
    return made_of(name, arguments)


UNKNOWN = object()


def literal(node: ast.expr) -> object:
    """The value of a literal that JSON knows too, a tuple as a list. `UNKNOWN` for anything else."""
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        items = [literal(item) for item in node.elts]
        return UNKNOWN if any(item is UNKNOWN for item in items) else items
    if isinstance(node, ast.Dict):
        return _dict_literal(node)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
    return value if value is None or isinstance(value, str | int | float | bool) else UNKNOWN


def _dict_literal(node: ast.Dict) -> object:
    made: dict[str, object] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        name, value = literal(key) if key else UNKNOWN, literal(item)
        if not isinstance(name, str) or value is UNKNOWN:
            return UNKNOWN
        made[name] = value
    return made


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` of names and attributes."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None
