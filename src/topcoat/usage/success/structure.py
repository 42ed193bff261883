"""Verdicts on a result that is an object: exit codes, flags, errors, HTTP codes, states."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from topcoat.spec.python_source import parse_expression
from topcoat.usage.success.exit_codes import is_failure
from topcoat.usage.success.texts import text_verdict
from topcoat.usage.success.verdict import NO_VERDICT, UNKNOWN, WORKED, Verdict, failed

__all__ = ["printed_object", "structure_verdict"]

_EXIT_CODES = frozenset(["exitcode", "returncode", "exitstatus", "retcode"])
_HTTP_CODES = frozenset(["statuscode", "httpstatus", "httpcode", "httpstatuscode", "status", "code"])
_GOOD = frozenset(["ok", "success", "succeeded", "successful", "issuccess"])
_BAD = frozenset(["iserror", "error", "failed", "timedout", "interrupted", "cancelled", "canceled", "aborted"])
_ERRORS = ("error", "exception", "errormessage", "err")
_BROKEN = frozenset(["error", "failed", "failure", "fail", "cancelled", "canceled", "denied", "rejected", "timeout"])
_BROKEN_TOO = frozenset(["timedout", "aborted", "interrupted", "errored", "crashed", "killed", "refused", "forbidden"])
_UNFINISHED = frozenset(
    ["pending", "queued", "running", "inprogress", "started", "submitted", "scheduled", "unknown", "processing"]
)
_STATES = ("status", "state", "outcome")
_FINDINGS = ("violations", "issues", "diagnostics", "problems", "findings", "failures", "errors")
_PLACES = ("line", "lineno", "line_number", "row", "file", "filename", "rule", "ruleId", "range")
_INNER = ("metadata", "_meta", "meta", "exec", "result")
_OUTPUTS = ("output", "stdout", "result", "response", "message", "detail", "stderr")
_LONGEST_PRINTED = 20_000


def structure_verdict(value: object, command: str = "") -> Verdict:
    """What an object or a list says of the call that returned it. `command` is what the call ran, if any."""
    if isinstance(value, list):
        return _of_list(value, command)
    if not isinstance(value, Mapping):
        return NO_VERDICT
    flat = {_key(key): item for key, item in value.items()}
    for look in (_by_exit_code, _by_flags, _by_error, _by_http, _by_errors, _by_state):
        verdict = look(flat, value, command)
        if verdict.told:
            return verdict
    if any(flat.get(key) is True for key in _GOOD) or flat.get("iserror") is False:
        return WORKED
    return _by_words(value, command)


def printed_object(text: str) -> dict[str, Any] | None:
    """The fields of an object that Python printed: a dict, or `Name(field=value, ...)`. None for any other text."""
    if len(text) > _LONGEST_PRINTED or not text.endswith(("}", ")")) or "\n" in text[:20]:
        return None
    try:
        node = parse_expression(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    match node:
        case ast.Dict(keys=keys, values=values):
            pairs = [(key.value, item) for key, item in zip(keys, values, strict=True) if isinstance(key, ast.Constant)]
        case ast.Call(func=ast.Name(), args=[], keywords=keywords):
            pairs = [(keyword.arg, keyword.value) for keyword in keywords if keyword.arg]
        case _:
            return None
    return {str(name): _literal(item) for name, item in pairs}


def _literal(node: ast.expr) -> object:
    """The value of a literal. Objects in a list keep the names of their fields; anything else is None."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        items = node.elts if isinstance(node, ast.List) else []
    return [{word.arg: None for word in item.keywords} for item in items if isinstance(item, ast.Call)] or None


def _of_list(value: list[object], command: str) -> Verdict:
    """Text parts are one text. A list whose items all failed did."""
    parts = [item.get("text") for item in value if isinstance(item, Mapping) and item.get("type", "text") == "text"]
    if value and len(parts) == len(value) and all(isinstance(part, str) for part in parts):
        return text_verdict("\n".join(str(part) for part in parts), command)
    if not value or not all(isinstance(item, Mapping) for item in value[:50]):
        return NO_VERDICT
    verdicts = [structure_verdict(item, command) for item in value[:50]]
    return verdicts[0] if all(verdict.success is False for verdict in verdicts) else NO_VERDICT


Flat = Mapping[str, Any]


def _by_exit_code(flat: Flat, value: Mapping[str, Any], command: str) -> Verdict:
    inner = [item for key in _INNER if isinstance(item := value.get(key), Mapping)]
    for found in (flat, *({_key(key): item for key, item in one.items()} for one in inner)):
        codes = [found[key] for key in _EXIT_CODES if _is_integer(found.get(key))]
        if not codes:
            continue
        bad = is_failure(codes[0], command)
        if bad is None:
            said = text_verdict(str(flat.get("stderr") or flat.get("output") or ""))
            return said if said.success is False else WORKED
        return failed(_message(flat)) if bad else WORKED
    return NO_VERDICT


def _by_flags(flat: Flat, value: Mapping[str, Any], command: str) -> Verdict:
    """A checker whose findings say where they are did its work, even if it calls that no success."""
    if any(flat.get(key) is True for key in _BAD):
        return failed(_message(flat))
    if not any(flat.get(key) is False for key in _GOOD):
        return NO_VERDICT
    return WORKED if _placed(flat) and not _said_error(flat) else failed(_message(flat))


def _by_error(flat: Flat, value: Mapping[str, Any], command: str) -> Verdict:
    said = _said_error(flat)
    return failed(said) if said else NO_VERDICT


def _by_http(flat: Flat, value: Mapping[str, Any], command: str) -> Verdict:
    for key in _HTTP_CODES:
        code = flat.get(key)
        if not _is_integer(code) or not 100 <= code < 600:
            continue
        if key != "code" or any(other in flat for other in ("message", "msg", "detail", "reason")):
            return failed(_message(flat)) if code >= 400 else WORKED
    return NO_VERDICT


def _by_errors(flat: Flat, value: Mapping[str, Any], command: str) -> Verdict:
    """Errors with a place are what a checker found."""
    errors = flat.get("errors")
    if not errors or isinstance(errors, bool | int | float) or any(flat.get(key) is True for key in _GOOD):
        return NO_VERDICT
    return WORKED if _placed(flat) else failed(json.dumps(errors, ensure_ascii=False, default=str))


def _by_state(flat: Flat, value: Mapping[str, Any], command: str) -> Verdict:
    states = [_key(flat[key]) for key in _STATES if isinstance(flat.get(key), str)]
    states += [_key(flat["type"])] if flat.get("type") == "error" else []
    if any(state in _BROKEN or state in _BROKEN_TOO for state in states):
        return failed(_message(flat))
    return UNKNOWN if any(state in _UNFINISHED for state in states) else NO_VERDICT


def _by_words(value: Mapping[str, Any], command: str) -> Verdict:
    """An object that holds a text of output, or nothing else than a message, says what its words say."""
    content = value.get("content")
    if isinstance(content, list):
        return _of_list(content, command)
    texts = [value[key] for key in _OUTPUTS if isinstance(value.get(key), str) and value[key]]
    return text_verdict(texts[0], command) if len(texts) == 1 and len(value) <= _MOST_FIELDS else NO_VERDICT


_MOST_FIELDS = 3
"""An object with more fields is data, even if one of them is a text."""


def _said_error(flat: Flat) -> str:
    for key in _ERRORS:
        said = flat.get(key)
        if said and said is not True and not isinstance(said, int | float):
            message = said.get("message") if isinstance(said, Mapping) else said
            return message if isinstance(message, str) else json.dumps(said, ensure_ascii=False, default=str)
    return ""


def _placed(flat: Flat) -> bool:
    """Whether the findings say where they are."""
    items = [item for key in _FINDINGS if isinstance(flat.get(key), list) for item in flat[key]]
    return bool(items) and all(isinstance(item, Mapping) and any(key in item for key in _PLACES) for item in items)


def _message(flat: Flat) -> str:
    said = flat.get("message") or _said_error(flat) or flat.get("stderr") or flat.get("detail") or flat.get("reason")
    return said if isinstance(said, str) else json.dumps(said, default=str) if said else "it failed"


def _key(key: object) -> str:
    return str(key).lower().replace("_", "").replace("-", "").replace(" ", "")


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
