"""OpenAPI's words for schemas, as JSON Schema's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import is_valid

from tests.support.schemas import json_values, schemas
from topcoat.catalogs.openapi.dialect import Dialect


@pytest.mark.parametrize(
    ("written", "fits", "misfits"),
    [
        ({"type": "string", "nullable": True}, ["", None], [1]),
        ({"type": "string", "nullable": False}, [""], [None, 1]),
        ({"type": "string", "enum": ["a"], "nullable": True}, ["a", None], ["b"]),
        ({"allOf": [{"type": "integer"}], "nullable": True}, [1, None], ["a"]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": False}, [1], [0]),
        ({"type": "integer", "maximum": 1, "exclusiveMaximum": True}, [0], [1]),
        ({"type": "integer", "exclusiveMaximum": True}, [10**9], ["a"]),
        ({"type": "integer", "exclusiveMinimum": 1}, [2], [1]),
    ],
    ids=["null", "not null", "null in enum", "null or all", "above", "at least", "below", "no limit", "number"],
)
def test_a_schema_means_what_it_meant(written: dict[str, Any], fits: list[Any], misfits: list[Any]) -> None:
    converted = Dialect().convert(written)
    assert [is_valid(converted, value) for value in fits] == [True] * len(fits)
    assert [is_valid(converted, value) for value in misfits] == [False] * len(misfits)


def test_words_are_kept_where_null_is_added_around() -> None:
    converted = Dialect().convert({"description": "Who.", "oneOf": [{"type": "string"}], "nullable": True})
    assert converted == {"description": "Who.", "anyOf": [{"oneOf": [{"type": "string"}]}, {"type": "null"}]}


def test_an_example_is_one_of_the_examples() -> None:
    assert Dialect().convert({"type": "string", "example": "a"}) == {"type": "string", "examples": ["a"]}
    assert Dialect().convert({"example": "a", "examples": ["b"]}) == {"examples": ["b"]}


def test_what_no_model_needs_is_dropped_and_counted() -> None:
    dialect = Dialect()
    written = {"type": "string", "xml": {}, "discriminator": {}, "externalDocs": {}, "x-go": 1, "x-ts": 2}
    assert dialect.convert(written) == {"type": "string"}
    assert dialect.dropped == {"xml": 1, "discriminator": 1, "externalDocs": 1, "x-...": 2}


@given(schemas(), st.booleans(), json_values())
def test_null_is_all_that_nullable_adds(schema: dict[str, Any], nullable: bool, value: object) -> None:
    converted = Dialect().convert({**schema, "nullable": nullable})
    expected = is_valid(schema, value) or (nullable and value is None)
    assert is_valid(converted, value) == expected
    assert Dialect().convert(converted) == converted
