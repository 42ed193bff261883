"""Summaries of results: whether the tool worked, and the result's shape. The contents are read, and not kept."""

from __future__ import annotations

import ast

from topcoat.spec.project import SuccessSection
from topcoat.spec.python_source import parse_module
from topcoat.usage.events import ToolCall, ToolResult
from topcoat.usage.success.judge import DEFAULTS, judged, parsed

__all__ = ["fields_read", "summary_of"]

_DEEPEST = 4
_MOST_KEYS = 20
_NAMES = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}


def summary_of(
    content: object, failed: bool | None = None, call: ToolCall | None = None, project: SuccessSection = DEFAULTS
) -> tuple[ToolResult, list[str]]:
    """The summary of a result, JSON or text, and the errors in it (the first 500 characters of each).

    `failed` is what the client says of it, `call` is what it answers, and `project` has the project's own marks.
    """
    meant = call.meant if call else {}
    arguments = meant if isinstance(meant, dict) else {}
    verdict = judged(content, tool=call.name if call else "", arguments=arguments, failed_said=failed, project=project)
    errors = [verdict.error] if verdict.success is False else []
    return ToolResult(success=verdict.success, shape=_shape(parsed(content))), errors


def fields_read(code: str) -> list[str]:
    """The attributes and text keys that `code` reads, each once, in order. Methods don't count."""
    try:
        tree = parse_module(code)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = [(_end(node), name) for node in ast.walk(tree) if id(node) not in called and (name := _name_read(node))]
    return list(dict.fromkeys(name for _, name in sorted(found)))


def _name_read(node: ast.AST) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def _end(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _shape(value: object, depth: int = 0) -> str:
    if isinstance(value, str):
        return "str" if depth else f"text, {value.count(chr(10)) + 1} lines" if value else "nothing"
    if isinstance(value, list):
        return f"[{len(value)} × {_shape(value[0], depth + 1)}]" if value and depth < _DEEPEST else "[]"
    if not isinstance(value, dict):
        return _NAMES.get(type(value), "value")
    if depth >= _DEEPEST:
        return "{}"
    if len(value) > _MOST_KEYS or not all(str(key).isidentifier() for key in value):  # such keys are contents too
        return f"{{{len(value)} × str: {_shape(next(iter(value.values())), depth + 1)}}}"
    return f"{{{', '.join(f'{key}: {_shape(item, depth + 1)}' for key, item in value.items())}}}"
