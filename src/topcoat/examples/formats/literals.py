"""Reads values as Python and JSON write them, and calls such as `Get Weather(city="Oslo", days=2)`.

Python's parser isn't enough: data sets have tools with spaces in their names, parameters called `from`, texts over
several lines, and `true` beside `True`. Work is linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from topcoat.spec.reading.documents import content_after

__all__ = ["Unreadable", "calls_at", "value_at", "values_in"]


class Unreadable(ValueError):
    """A text that is no value or no call. `position` is where it stops to be one."""

    def __init__(self, position: int) -> None:
        super().__init__(f"unreadable at character {position + 1}")
        self.position = position


_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_WORD = re.compile(r"(?:True|False|None|true|false|null)(?!\w)")
_WORDS: dict[str, Any] = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_TEXT = re.compile(r""""((?:[^"\\]|\\.)*+)"|'((?:[^'\\]|\\.)*+)'""", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": "", **{mark: mark for mark in "\\\"'/"}}
_NAME = re.compile(r"[^()\[\]{}=\"]{1,200}")
_KEY = re.compile(r"([^()\[\]{}=\"',]{1,200})=(?!=)")
_MOST_PARENTHESES = 4


def value_at(text: str, position: int) -> tuple[Any, int]:
    """The value that begins at `position`, spaces before it aside, and the position after it. A tuple is a list.

    Raises `Unreadable`, and `RecursionError` if it is nested too deeply.
    """
    position = _after_space(text, position)
    begin = text[position : position + 1]
    if begin == "[":
        return _items(text, position + 1, "]")
    if begin == "(":
        items, end = _items(text, position + 1, ")")
        alone = len(items) == 1 and not text[position : end - 1].rstrip().endswith(",")
        return items[0] if alone else items, end
    if begin == "{":
        return _object(text, position + 1)
    if found := _TEXT.match(text, position):
        return _text(found[1] if found[2] is None else found[2]), found.end()
    if found := _WORD.match(text, position):
        return _WORDS[found[0]], found.end()
    if found := _NUMBER.match(text, position):
        return _number(found[0], position), found.end()
    raise Unreadable(position)


def values_in(text: str) -> list[Any]:
    """The values that a text holds one after another, with a list's items in its place. Raises what `value_at` does."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        found: list[Any] = []
        position = 0
        while (position := content_after(text, position)) < len(text):
            value, position = value_at(text, position)
            found += value if isinstance(value, list) else [value]
        return found
    return whole if isinstance(whole, list) else [whole]


def calls_at(text: str, position: int, known: Collection[str] = ()) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """The calls of a list `[f(a=1), g(b="x")]` that begins at `position`: names with arguments; the position after it.

    A name goes to the first parenthesis, or further if a longer one is `known`. Raises what `value_at` does.
    """
    position = _after_space(text, position)
    if text[position : position + 1] != "[":
        raise Unreadable(position)
    calls: list[tuple[str, dict[str, Any]]] = []
    position = _after_space(text, position + 1)
    while text[position : position + 1] != "]":
        name, position = _name(text, position, known)
        arguments, position = _arguments(text, position)
        calls.append((name, arguments))
        position = _after_comma(text, position, "]")
    return calls, position + 1


def _name(text: str, position: int, known: Collection[str]) -> tuple[str, int]:
    """A call's name, and the position after its parenthesis."""
    found = _NAME.match(text, position)
    if found is None or text[found.end() : found.end() + 1] != "(" or not found[0].strip():
        raise Unreadable(position)
    parenthesis = end = found.end()
    for _ in range(_MOST_PARENTHESES):
        if text[position:end].strip() in known:
            parenthesis = end
        end = text.find("(", end + 1, position + 400)
        if end < 0:
            break
    return text[position:parenthesis].strip(), parenthesis + 1


def _arguments(text: str, position: int) -> tuple[dict[str, Any], int]:
    arguments: dict[str, Any] = {}
    position = _after_space(text, position)
    while text[position : position + 1] != ")":
        key = _KEY.match(text, position)
        if key is None or key[1].strip() in arguments:
            raise Unreadable(position)
        arguments[key[1].strip()], position = value_at(text, key.end())
        position = _after_comma(text, position, ")")
    return arguments, position + 1


def _items(text: str, position: int, closing: str) -> tuple[list[Any], int]:
    items: list[Any] = []
    position = _after_space(text, position)
    while text[position : position + 1] != closing:
        item, position = value_at(text, position)
        items.append(item)
        position = _after_comma(text, position, closing)
    return items, position + 1


def _object(text: str, position: int) -> tuple[dict[str, Any], int]:
    made: dict[str, Any] = {}
    position = _after_space(text, position)
    while text[position : position + 1] != "}":
        key, after = value_at(text, position)
        colon = _after_space(text, after)
        if not isinstance(key, str) or text[colon : colon + 1] != ":":
            raise Unreadable(position)
        made[key], position = value_at(text, colon + 1)
        position = _after_comma(text, position, "}")
    return made, position + 1


def _after_comma(text: str, position: int, closing: str) -> int:
    """The position of what follows a comma, or of the closing bracket."""
    position = _after_space(text, position)
    if text[position : position + 1] == ",":
        return _after_space(text, position + 1)
    if text[position : position + 1] != closing:
        raise Unreadable(position)
    return position


def _after_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _number(written: str, position: int) -> int | float:
    try:
        return int(written) if written.lstrip("+-").isdigit() else float(written)
    except ValueError:  # more digits than Python turns into a number
        raise Unreadable(position) from None


def _text(written: str) -> str:
    if "\\" not in written:
        return written
    read = _ESCAPE.sub(_unescaped, written)
    # JSON writes a character beyond the first 65536 as two halves.
    return read.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1]
    if len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF else escape[0]
    return _ESCAPES.get(code, escape[0])
