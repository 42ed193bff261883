"""Summaries of results: whether the tool worked, and the result's shape. The contents are read, but never stored."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from topcoat.spec.python_source import parse_module
from topcoat.usage.characters import whole_characters
from topcoat.usage.events import ToolResult

__all__ = ["fields_read", "summary_of"]

_DEEPEST = 4
_MOST_KEYS = 20
_LONGEST_ERROR = 500
_FAILED = re.compile(r"\s*(?:error\b|traceback \(most recent call last\)|\w+(?:Error|Exception)\b\s*:)", re.IGNORECASE)
_SAYS_SO = re.compile(
    r"\[errno -?\d+\]|(?:fatal|panic|uncaught|unhandled)\b|npm err!|segmentation fault|<(?:tool_use_)?error>"
    r"|(?:failed|unable) to |failed:(?! *\d)|could ?n[o']t |cannot |can't |no (?:such|module named) "
    r"|unknown (?:tool|command|function) |(?:permission|access) denied|connection (?:refused|reset)"
    r"|(?:operation )?timed out|invalid (?:argument|parameter|input)s?\b|\w+: command not found\b"
    r"|(?:the )?(?:tool |function )?(?:call|use|command|request|operation|process|script|program|action|edit|tool) "
    r"(?:(?:was|has been|is) )?"
    r"(?:failed|rejected|denied|refused|cancell?ed|aborted|blocked|interrupted|timed out|not permitted)"
    r"|\[?request interrupted|the user (?:doesn't want|does not want|rejected|denied|declined|cancell?ed)",
    re.IGNORECASE,
)
"""How shells, systems, git and agents begin when they report a failure."""
_ENDS_SO = re.compile(
    r"(?:command not found|no such file or directory|permission denied|: is a directory|: not a directory"
    r"|: file exists|(?:does not|doesn't|did not|didn't) exist|not found|timed out|connection refused"
    r"|operation not permitted|no space left on device|core dumped|(?:rejected|denied|cancell?ed) by (?:the )?user"
    r"|exit(?:ed)?(?: with)?(?: a)?(?: non-zero)?(?: exit)?(?: code| status)?:? -?[1-9]\d*)\W*$",
    re.IGNORECASE,
)
"""How they end."""
_UNFINISHED = (
    "pending",
    "queued",
    "running",
    "in_progress",
    "in progress",
    "started",
    "submitted",
    "scheduled",
    "unknown",
)
_CLEARED = re.compile(
    r"[\[(<][^\n\])>]{0,60}\b(?:cleared|removed|omitted|elided|redacted|truncated|not available|no longer available)\b"
    r"[^\n\])>]{0,60}[\])>]",
    re.IGNORECASE,
)
"""What stands in the place of a result that a client dropped from a long dialogue."""
_MOST_LINES, _LONGEST_LINE = 5, 300
"""A longer text is what a tool found, even if it has the words of a failure."""
_LAST_LINE = re.compile(r"^\w[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*", re.MULTILINE)
_RETRY = "Fix the errors and try again."
"""The end of each pydantic-ai message that asks for another try."""
_NAMES = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}


def summary_of(content: object) -> tuple[ToolResult, list[str]]:
    """The summary of a result, JSON or text, and the errors in it (the first 500 characters of each)."""
    value = _parsed(content)
    errors = [error[:_LONGEST_ERROR] for error in _errors(value)]
    return ToolResult(success=False if errors else None if _tells_nothing(value) else True, shape=_shape(value)), errors


def _tells_nothing(value: object) -> bool:
    """Whether a result without an error doesn't say that the tool worked: it is missing, cleared or not there yet."""
    if isinstance(value, dict):
        return str(value.get("status", "")).lower() in _UNFINISHED
    return value is None or (isinstance(value, str) and bool(_CLEARED.fullmatch(value.strip())))


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


def _parsed(content: object) -> object:
    if not isinstance(content, str):
        return content
    try:
        value: object = whole_characters(json.loads(content))
    except (ValueError, RecursionError):
        return content
    return value


def _errors(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if _FAILED.match(value) or value.rstrip().endswith(_RETRY) or "Traceback (most recent call last)" in value:
            lines = _LAST_LINE.findall(value)
            yield lines[-1] if lines else value.strip()
        elif _reports_failure(value.strip()):
            yield value.strip()
        return
    if not isinstance(value, dict):
        return
    said = value.get("error") or value.get("exception")
    if said and said is not True:
        message = said.get("message") if isinstance(said, dict) else said
        yield message if isinstance(message, str) else json.dumps(said, ensure_ascii=False, default=str)
        return
    codes = [value.get(key) for key in ("exit_code", "returncode")]
    if any(value.get(key) is False for key in ("success", "ok")) or any(isinstance(c, int) and c != 0 for c in codes):
        yield str(value.get("message") or value.get("stderr") or "it failed")
    elif (
        True in (value.get("error"), value.get("is_error"))
        or value.get("isError") is True
        or value.get("status") in ("error", "failed")
    ):
        yield str(value.get("message") or "it failed")


def _reports_failure(text: str) -> bool:
    """Whether a short text is a report of a failure, by its beginning or an end of its first or last line."""
    if len(text) > _MOST_LINES * _LONGEST_LINE or not text:
        return False
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        return False
    return bool(_SAYS_SO.match(text)) or any(_ENDS_SO.search(line[-80:]) for line in (lines[0], lines[-1]))


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
