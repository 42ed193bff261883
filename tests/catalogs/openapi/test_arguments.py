"""Parameters and bodies as one schema of arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema_rs import is_valid

from tests.support.schemas import json_values, schemas
from topcoat.catalogs.openapi.arguments import Arguments


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Schemas of objects, also in several parts, and of other things."""
    parts = [draw(schemas()) for _ in range(draw(st.integers(1, 3)))]
    return parts[0] if len(parts) == 1 else {"allOf": parts}


@pytest.mark.slow
@given(bodies(), st.dictionaries(st.sampled_from(["a", "b", "c", "properties", "default"]), json_values(), max_size=4))
def test_the_arguments_are_valid_exactly_if_the_body_is(body: dict[str, Any], value: dict[str, Any]) -> None:
    arguments = Arguments()
    arguments.add_body(body, required=True)
    merged = "body" not in arguments.schema["properties"]
    given_ = value if merged else {"body": value}
    assert is_valid(arguments.schema, given_) == is_valid(body, value)


@given(schemas())
def test_an_object_with_properties_is_merged_and_nothing_else_is(body: dict[str, Any]) -> None:
    arguments = Arguments()
    arguments.add_body(body, required=True)
    assume("allOf" not in body)  # whose parts may all be objects
    merged = "body" not in arguments.schema["properties"]
    assert merged == (body.get("type") == "object")


def test_the_parts_of_an_object_are_one() -> None:
    arguments = Arguments()
    named = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name", "tag"]}
    tagged = {"properties": {"tag": {"type": "string"}, "name": {"minLength": 1}}}
    arguments.add_body({"description": "A pet.", "allOf": [named, {"allOf": [tagged]}]}, required=True)
    assert arguments.schema == {
        "type": "object",
        "properties": {"name": {"allOf": [{"type": "string"}, {"minLength": 1}]}, "tag": {"type": "string"}},
        "required": ["name", "tag"],
    }


@pytest.mark.parametrize(
    "body",
    [
        {"type": "array", "items": {}},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {}}, "minProperties": 1},
        {"oneOf": [{"type": "object", "properties": {"a": {}}}]},
        {"type": ["object", "null"], "properties": {"a": {}}},
        {"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {"b": {}}}]},
        True,
    ],
    ids=["list", "no property", "map", "more rules", "choice", "or null", "closed part", "anything"],
)
def test_any_other_body_is_one_argument(body: Any) -> None:
    arguments = Arguments()
    assert arguments.add_body(body, required=True) == ""
    assert arguments.schema == {"type": "object", "properties": {"body": body}, "required": ["body"]}


def test_a_body_that_may_be_missing_requires_nothing() -> None:
    arguments = Arguments()
    arguments.add_body({"type": "object", "properties": {"a": {}}, "required": ["a"]}, required=False)
    assert "required" not in arguments.schema


def test_the_words_about_a_merged_body_are_given_back() -> None:
    body = {"type": "object", "properties": {"a": {}}, "description": "A pet."}
    assert Arguments().add_body(body, required=True) == "A pet."


def test_a_closed_object_stays_closed() -> None:
    arguments = Arguments()
    arguments.add("path", "id", {"type": "integer"}, True)
    arguments.add_body({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, required=True)
    assert is_valid(arguments.schema, {"id": 1, "a": 2})
    assert not is_valid(arguments.schema, {"id": 1, "b": 2})


def test_a_name_that_is_taken_gets_its_place_and_a_number() -> None:
    arguments = Arguments()
    arguments.add("query", "body_id", {}, False)
    arguments.add("path", "id", {"type": "integer"}, True)
    arguments.add_body({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}, required=True)
    assert list(arguments.schema["properties"]) == ["body_id", "id", "body_id_2"]
    assert arguments.schema["required"] == ["id", "body_id_2"]
    assert arguments.renamed == ['"id" of its body as body_id_2']


def test_a_required_name_without_a_schema_is_not_lost() -> None:
    arguments = Arguments()
    arguments.add_body({"type": "object", "properties": {"a": {}}, "required": ["a", "b"]}, required=True)
    assert arguments.schema["required"] == ["a", "b"]
