"""Reads what data sets hold as JSON, or as a JSON text of it: lists, and calls of functions."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

__all__ = ["Note", "Said", "Untranslatable", "decoded_list", "json_list", "made_call", "named_call", "require_text"]


class Untranslatable(ValueError):
    """A line that doesn't have the expected format. The text says why."""


class Note(NamedTuple):
    """What a conversion did to a `thing` that a person should know."""

    thing: str
    what: str


Said = Counter[Note]
"""How often each note holds."""


def decoded_list(value: object, place: str) -> list[Any]:
    """A list, or the list that a JSON text holds. Raises `Untranslatable`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Untranslatable(f"{place}: not JSON") from None
    if not isinstance(value, list):
        raise Untranslatable(f"{place}: must be a list")
    return value


def json_list(value: object) -> object:
    """The list that a JSON text holds; anything else as it is."""
    try:
        return decoded_list(value, "") if isinstance(value, str) else value
    except Untranslatable:
        return value


def require_text(value: object, place: str) -> str:
    """`value`, which has to be text. Raises `Untranslatable`."""
    if not isinstance(value, str):
        raise Untranslatable(f"{place}: must be text")
    return value


def made_call(call: object, place: str) -> dict[str, Any]:
    """`{"name": ..., "arguments": ...}` as an item of `tool_calls`. Raises `Untranslatable`."""
    name, arguments = named_call(call, place)
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def named_call(function: object, place: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of `{"name": ..., "arguments": ...}`. Raises `Untranslatable`.

    The arguments are an object or a JSON text of one; none are an empty object.
    """
    if not isinstance(function, dict) or not isinstance(name := function.get("name"), str):
        raise Untranslatable(f"{place}: a call without a function's name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            raise Untranslatable(f"{place}: the arguments of {name[:60]} are not JSON") from None
    if not isinstance(arguments, dict | None):
        raise Untranslatable(f"{place}: the arguments of {name[:60]} are not an object")
    return name, arguments or {}
