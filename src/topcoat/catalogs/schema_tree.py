"""The schemas inside of a JSON Schema. Values that are data (an enum, a default, an example) are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["SCHEMA_KEYWORDS", "extent", "rebuilt", "subschemas"]

_SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SCHEMAS = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_SCHEMA_LISTS = ("allOf", "anyOf", "items", "oneOf", "prefixItems")

SCHEMA_KEYWORDS = frozenset((*_SCHEMA_MAPS, *_SCHEMAS, *_SCHEMA_LISTS))
"""The keywords that hold schemas."""


def subschemas(schema: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Each schema directly inside of `schema`, with the keys that lead to it. It may also be true or false."""
    for keyword, value in schema.items():
        if keyword in _SCHEMA_MAPS and isinstance(value, dict):
            yield from (((keyword, name), inner) for name, inner in value.items())
        elif keyword in _SCHEMA_LISTS and isinstance(value, list):
            yield from (((keyword, index), inner) for index, inner in enumerate(value))
        elif keyword in _SCHEMAS:
            yield (keyword,), value


def rebuilt(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """`schema` with `change` of each schema directly inside of it."""
    built: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _SCHEMA_MAPS and isinstance(value, dict):
            built[keyword] = {name: change(inner) for name, inner in value.items()}
        elif keyword in _SCHEMA_LISTS and isinstance(value, list):
            built[keyword] = [change(inner) for inner in value]
        elif keyword in _SCHEMAS:
            built[keyword] = change(value)
        else:
            built[keyword] = value
    return built


def extent(data: object) -> tuple[int, int]:
    """The number of values in a JSON value, itself included, and the number of levels of objects and lists."""
    count, depth = 0, 0
    level = [data]
    while level:
        count += len(level)
        tables = [value for value in level if isinstance(value, dict | list)]
        depth += bool(tables)
        level = [inner for table in tables for inner in (table.values() if isinstance(table, dict) else table)]
    return count, depth
