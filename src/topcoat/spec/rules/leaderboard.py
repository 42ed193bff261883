"""Compares arguments as the AST checker of the Berkeley Function Calling Leaderboard does (`bfcl_eval`, Python).

Its types are strict: true isn't 1, and 5.0 isn't 5 for an integer, but an integer is fine for a number. Texts are equal
without regard to case, spaces and `, . / - _ * ^`, and `'` is `"`. This holds for a text, for the texts in a list, and
for those in an object or in a list's objects, not deeper. A value whose type the expected values have, though not the
schema, stands for a variable: it must be equal to the character. No other keyword of the schema counts, such as enum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["is_blank", "is_one_of"]

_TYPES: Final[Mapping[object, type]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
_IGNORED: Final = str.maketrans({**dict.fromkeys(" ,./-_*^"), "'": '"'})


def is_one_of(given: object, possible: Sequence[object], schema: object) -> bool:
    """Whether `given` is one of the `possible` values. Among them, "" stands for an argument that may be left out.

    Without a schema, as inside of objects, types don't count.
    """
    if schema is None:
        return _text(given) in [_text(value) for value in possible]
    likely = next((type(value) for value in possible if value != ""), None)
    kind = _type(schema) or likely
    if kind is float and type(given) is int:
        given = float(given) if abs(given) < 2**1000 else given
    if type(given) not in (kind, likely) or not _holds_its_items(given, possible, schema):
        return False
    exact = likely not in (None, kind)
    if exact or kind in (int, float, bool):
        return given in possible
    return _standard(given) in [_standard(value) for value in possible if type(value) is type(given)]


def is_blank(given: object, schema: object) -> bool:
    """Whether `given` is as good as left out: an empty text, where a text is expected."""
    return is_one_of(given, [""], schema if _type(schema) else {"type": "string"})


def _holds_its_items(given: object, possible: Sequence[object], schema: object) -> bool:
    """Whether a list's items have the type of its schema, or of the first item of one of the possible lists."""
    kind = _type(schema.get("items")) if isinstance(schema, Mapping) else None
    if not isinstance(given, list) or kind is None:
        return True
    for value in possible:
        likely = next((type(item) for item in value if item != ""), kind) if isinstance(value, list) else None
        if likely is None or all(type(item) in (kind, likely) for item in given):
            return True
    return False


def _type(schema: object) -> type | None:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return _TYPES.get(kind) if isinstance(kind, str) else None


def _standard(value: object) -> object:
    """The value with the texts that count (see the module) in one spelling."""
    if isinstance(value, list):
        return [_fields(item) if isinstance(item, dict) else _text(item) for item in value]
    return _fields(value) if isinstance(value, dict) else _text(value)


def _fields(value: Mapping[str, object]) -> dict[str, object]:
    return {name: _text(part) for name, part in value.items()}


def _text(value: object) -> object:
    return value.translate(_IGNORED).lower() if isinstance(value, str) else value
