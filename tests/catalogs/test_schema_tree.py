"""The schemas inside of a schema."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.schemas import json_values, schemas
from topcoat.catalogs.schema_tree import extent, rebuilt, subschemas

EVERY = {
    "type": "object",
    "properties": {"default": {"type": "string"}, "$ref": True},
    "items": [{"minimum": 1}],
    "additionalProperties": {"anyOf": [{"type": "null"}, False]},
    "default": {"properties": {"a": {}}},
    "enum": [{"items": {}}],
}


def test_data_is_no_schema_and_a_property_may_have_any_name() -> None:
    assert dict(subschemas(EVERY)) == {
        ("properties", "default"): {"type": "string"},
        ("properties", "$ref"): True,
        ("items", 0): {"minimum": 1},
        ("additionalProperties",): {"anyOf": [{"type": "null"}, False]},
    }


def test_rebuilding_reaches_the_schemas_and_nothing_else() -> None:
    assert rebuilt(EVERY, str) == {
        **EVERY,
        "properties": {"default": "{'type': 'string'}", "$ref": "True"},
        "items": ["{'minimum': 1}"],
        "additionalProperties": "{'anyOf': [{'type': 'null'}, False]}",
    }


@given(schemas())
def test_rebuilding_with_the_same_schemas_changes_nothing(schema: dict[str, Any]) -> None:
    seen: list[object] = []

    def same(inner: object) -> object:
        seen.append(inner)
        return inner

    assert rebuilt(schema, same) == schema
    assert seen == [inner for _, inner in subschemas(schema)]


@given(json_values())
def test_the_extent_is_that_of_its_parts(value: object) -> None:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    parts = [extent(part) for part in inner]
    levels = 1 + max((depth for _, depth in parts), default=0) if isinstance(value, dict | list) else 0
    assert extent(value) == (1 + sum(count for count, _ in parts), levels)


@given(st.integers(1, 500))
def test_a_deep_value_is_measured(depth: int) -> None:
    value: object = 1
    for _ in range(depth):
        value = [value]
    assert extent(value) == (depth + 1, depth)
