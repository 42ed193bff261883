"""Reads JSON strictly: what Python's reader lets pass and no other one means is refused, not guessed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

__all__ = ["MAX_DEPTH", "Unreadable", "depth_of", "parse_json"]

MAX_DEPTH = 100
"""The most levels of tables and lists in a document: far above any real file, far below Python's recursion limit."""

TOO_DEEP = f"nested too deeply: more than {MAX_DEPTH} levels"


class Unreadable(Exception):
    """A text that is no JSON document. `line` counts from 1, if the place is known."""

    def __init__(self, message: str, hint: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = line


def parse_json(text: str) -> Any:
    """The document in `text`. Raises `Unreadable` also for a key that stands twice in an object, constants such as NaN,
    numbers beyond Python's, documents of more than `MAX_DEPTH` levels, and halves of surrogate pairs.
    """
    try:
        data = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        reason = "more follows the object" if error.msg == "Extra data" else error.msg[:1].lower() + error.msg[1:]
        raise Unreadable(f"not valid JSON at column {error.colno}: {reason}", line=error.lineno) from None
    except RecursionError:
        raise Unreadable(TOO_DEEP) from None
    except ValueError:  # an integer of more digits than Python converts
        raise Unreadable("a number has too many digits") from None
    if depth_of(data) > MAX_DEPTH:
        raise Unreadable(TOO_DEEP)
    if "\\u" in text and not _encodable(data):
        raise Unreadable("holds half of a surrogate pair (\\ud800 to \\udfff), which is no character")
    return data


def _no_constant(name: str) -> float:
    raise Unreadable(f"{name} is not valid JSON", "use null or a number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Unreadable(f"the number {text[:40]} is too large")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise Unreadable(f'the key "{repeated}" is written twice')
    return table


def _encodable(data: object) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def depth_of(data: object) -> int:
    """The number of levels of tables and lists."""
    level: list[object] = [data]
    depth = 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
