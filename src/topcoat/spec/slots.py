"""The slots in a template's texts: `{file}` stands for a value of the list `file`, `{file2}` for another one.

`{{file}}` is the text `{file}`. Other braces are braces: `\\d{2,3}` and `{"a": 1}` have no slot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

__all__ = ["Value", "fill", "fill_pattern", "fill_typed", "list_of", "slots"]

Value = str | int | float | bool

_SLOT = re.compile(r"\{(\{[A-Za-z_]+[0-9]*\})\}|\{([A-Za-z_]+[0-9]*)\}")
_PATTERN_SYNTAX = re.compile(r"[\^$\\.*+?()\[\]{}|/]")


def slots(value: JsonValue) -> Iterator[str]:
    """The slots in all texts of `value`, keys included, in order and with repetitions."""
    if isinstance(value, str):
        yield from (match[2] for match in _SLOT.finditer(value) if match[2])
    elif isinstance(value, list):
        for item in value:
            yield from slots(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from slots(key)
            yield from slots(item)


def list_of(slot: str) -> str:
    """The name of the list that a slot draws from: the slot without its number."""
    return slot.rstrip("0123456789")


def fill(text: str, values: Mapping[str, Value]) -> str:
    """`text` with the values of its slots. Raises `KeyError` for a slot without a value."""
    return _fill(text, values, _written)


def fill_pattern(text: str, values: Mapping[str, Value]) -> str:
    """`fill` for a pattern (ECMA 262). It matches values literally, whatever characters they have."""
    return _fill(text, values, lambda value: _PATTERN_SYNTAX.sub(r"\\\g<0>", _written(value)))


def fill_typed(text: str, values: Mapping[str, Value]) -> Value:
    """`fill`, but a text that is only a slot becomes its value: a number stays a number."""
    match = _SLOT.fullmatch(text)
    return values[match[2]] if match and match[2] else fill(text, values)


def _fill(text: str, values: Mapping[str, Value], written: Callable[[Value], str]) -> str:
    return _SLOT.sub(lambda match: match[1] or written(values[match[2]]), text)


def _written(value: Value) -> str:
    """A value as a user writes it; true and false as in TOML."""
    return str(value).lower() if isinstance(value, bool) else str(value)
