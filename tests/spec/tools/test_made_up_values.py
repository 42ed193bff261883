from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.spec.tools.json_schema import fits, schema_fault
from topcoat.spec.tools.made_up_values import Unmakeable, made_up_arguments


def tool(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


LINKED = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
SCHEMAS = {
    "enum": {"enum": ["heat", "cool", 3]},
    "const": {"const": {"a": [1]}},
    "examples": {"type": "string", "pattern": "^QX-[a-z]{17}$", "examples": ["QX-abcdefghijklmnopq"]},
    "integer": {"type": "integer", "minimum": -3, "exclusiveMaximum": -1},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 100},
    "fraction": {"type": "number", "minimum": 0.1, "maximum": 0.2},
    "latitude": {"type": "number", "minimum": -90, "maximum": 90},
    "above": {"type": "integer", "exclusiveMinimum": 5, "maximum": 6},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "nullable": {"type": ["null", "integer"]},
    "either": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "boolean"}}]},
    "only null": {"anyOf": [{"type": "null"}]},
    "both": {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}]},
    "array": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "maxItems": 3},
    "unique": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    "nested": {"type": "object", "properties": {"x": tool(y={"type": "number"})}, "required": ["x"]},
    "open": {"type": "object", "additionalProperties": {"type": "integer"}},
    "reference": {"$ref": "#/$defs/node"},
    "email": {"type": "string", "format": "email"},
    "date": {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "uuid": {"type": "string", "format": "uuid"},
    "long": {"type": "string", "minLength": 90},
    "short": {"type": "string", "maxLength": 2},
    "zip": {"type": "string", "pattern": r"^\d{5}$"},
    "ticket": {"type": "string", "pattern": "^[A-Z]{2,5}-[0-9]+$"},
    "commit": {"type": "string", "pattern": "^[0-9a-f]{7,40}$"},
    "anything": {},
    "true": True,
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_values_fit_their_schema(schema: Any) -> None:
    whole = {**tool(value=schema), "$defs": {"node": tool(name={"type": "string"})}}
    made = [made_up_arguments(whole, "tool", n) for n in range(20)]
    assert all(fits(whole, arguments) for arguments in made)
    assert made == [made_up_arguments(whole, "tool", n) for n in range(20)]


def test_only_what_a_call_needs_is_made_up() -> None:
    schema = {**tool(path={"type": "string"}, count={"type": "integer"}), "required": ["path"]}
    assert list(made_up_arguments(schema, "read", 0)) == ["path"]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "string", "pattern": "^QX-[a-z]{17}$"}, "does not match"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "False schema"),
        ({"$ref": "#/$defs/endless"}, "nested too deeply"),
        ({"anyOf": [{"$ref": "#/$defs/wide"}] * 50}, "nested too deeply"),
    ],
)
def test_what_cannot_be_made_up_is_said(schema: dict[str, Any], why: str) -> None:
    endless = tool(next={"$ref": "#/$defs/endless"})
    with pytest.raises(Unmakeable, match=why):
        made_up_arguments(
            {**tool(value=schema), "$defs": {"endless": endless, "wide": {"anyOf": [{"$ref": "#/$defs/wide"}] * 50}}},
            "tool",
            0,
        )


def within(kind: str, low: str, high: str, least: int, most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of a kind with a lower bound in a range, and an upper one above it."""
    bounds = st.tuples(st.integers(least, most), st.integers(0, most))
    return bounds.map(lambda pair: {"type": kind, low: pair[0], high: sum(pair)})


SCALARS = st.one_of(
    within("integer", "minimum", "maximum", -200, 200),
    within("number", "minimum", "maximum", -5, 5),
    within("string", "minLength", "maxLength", 0, 60),
    st.integers(1, 50).map(lambda step: {"type": "integer", "multipleOf": step}),
    st.sampled_from([{"type": "boolean"}, {"enum": ["a", 1, None]}, {"type": ["integer", "null"]}]),
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item, "minItems": 1}, inner),
        st.builds(lambda parts: tool(**parts), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
        st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner),
    ),
    max_leaves=6,
)


@given(NESTED, st.integers(0, 50))
def test_what_fits_can_be_made_up(schema: dict[str, Any], n: int) -> None:
    whole = tool(value=schema)
    assert fits(whole, made_up_arguments(whole, "tool", n))


KEYS = st.sampled_from(["type", "enum", "anyOf", "items", "minimum", "pattern", "required", "properties", "$ref"])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.sampled_from(["string", "object", "a", "#/a", "["])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_any_schema_gives_arguments_or_a_reason(schema: dict[str, Any]) -> None:
    if not schema_fault(schema):
        with suppress(Unmakeable):
            assert fits(schema, made_up_arguments(schema, "tool", 0))
