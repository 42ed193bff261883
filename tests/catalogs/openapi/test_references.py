"""References, and what stands in their places."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from tests.support.schemas import json_values, schemas
from topcoat.catalogs.openapi.dialect import Dialect
from topcoat.catalogs.openapi.references import MAX_LEVELS, MAX_VALUES, References, Unresolved


def ref(name: object) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def references(**components: Any) -> References:
    return References({"components": {"schemas": components}}, Dialect())


def numbered(count: int, make: Any) -> References:
    return references(**{str(number): make(number) for number in range(count)})


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Components that refer to those before them only."""
    made: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 5))):
        earlier = st.sampled_from([ref(name) for name in made]) if made else None
        made[str(number)] = draw(schemas(earlier))
    return made


@pytest.mark.slow
@given(documents(), json_values())
def test_a_resolved_schema_takes_what_the_schema_takes(components: dict[str, Any], value: object) -> None:
    last = ref(len(components) - 1)
    whole = {"components": {"schemas": components}, **last}
    resolved = references(**components).resolved(last).schema
    assert "$ref" not in str(resolved)
    assert validator_for(resolved).is_valid(value) == validator_for(whole).is_valid(value)


@given(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=6, max_size=6))
def test_a_schema_is_refused_exactly_if_it_reaches_a_circle(edges: list[list[int]]) -> None:
    reach = {number: set(targets) for number, targets in enumerate(edges)}
    for _ in edges:
        reach = {number: found.union(*(reach[other] for other in found)) for number, found in reach.items()}
    circular = {number for number, found in reach.items() if number in found}
    document = numbered(6, lambda number: {"anyOf": [ref(other) for other in edges[number]]})
    for number, found in reach.items():
        try:
            document.resolved(ref(number))
        except Unresolved as problem:
            named = int(str(problem).split("/")[3].split(" ")[0])
            assert named in circular & ({number} | found)
        else:
            assert not circular & ({number} | found)


def test_words_beside_a_reference_take_the_place_of_its_targets() -> None:
    document = references(a={"type": "string", "description": "Any."})
    assert document.resolved({**ref("a"), "description": "This."}).schema == {"type": "string", "description": "This."}
    assert document.resolved({**ref("a"), "minLength": 2}).schema == {
        "minLength": 2,
        "allOf": [{"type": "string", "description": "Any."}],
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("#/components/schemas/b", "#/components/schemas/b isn't there"),
        ("other.yaml#/a", "other.yaml#/a is in another file"),
        ("#a", "#a names no place in the document"),
        ("#/list/2", "#/list/2 isn't there"),
        ("#/list/-1", "#/list/-1 isn't there"),
        ("#/list/00", "#/list/00 isn't there"),
    ],
    ids=["missing", "file", "anchor", "index", "negative", "zeros"],
)
def test_a_reference_to_nothing_is_named(name: str, message: str) -> None:
    document = References({"components": {"schemas": {}}, "list": [{"type": "null"}]}, Dialect())
    for find in (document.resolved, document.followed):
        with pytest.raises(Unresolved) as caught:
            find({"$ref": name})
        assert str(caught.value) == message


def test_pointers_are_read_as_they_are_written() -> None:
    document = References({"a/b ~": {"type": "string"}, "list": [{"type": "null"}]}, Dialect())
    assert document.resolved({"$ref": "#/a~1b%20~0"}).schema == {"type": "string"}
    assert document.resolved({"$ref": "#/list/0"}).schema == {"type": "null"}


def test_data_that_looks_like_a_reference_is_data() -> None:
    document = references(a={"type": "object", "default": {"$ref": "#/nowhere"}, "enum": [{"$ref": "#/nowhere"}]})
    assert document.resolved(ref("a")).schema["default"] == {"$ref": "#/nowhere"}


def test_followed_references_may_lead_to_others_and_not_in_circles() -> None:
    document = References(
        {"a": {"$ref": "#/b"}, "b": {"name": "x"}, "c": {"$ref": "#/d"}, "d": {"$ref": "#/c"}}, Dialect()
    )
    assert document.followed({"$ref": "#/a"}) == {"name": "x"}
    assert document.followed({"name": "y"}) == {"name": "y"}
    with pytest.raises(Unresolved, match=r"#/d refers to itself"):
        document.followed({"$ref": "#/d"})


def test_a_schema_that_doubles_at_every_reference_is_refused() -> None:
    count = MAX_VALUES.bit_length() + 60
    document = numbered(count, lambda n: {"allOf": [ref(n + 1), ref(n + 1)]} if n < count - 1 else {"type": "null"})
    with pytest.raises(Unresolved, match=f"more than {MAX_VALUES} values"):
        document.resolved(ref(0))
    assert document.resolved(ref(count - 3)).values <= MAX_VALUES


def test_a_chain_of_references_that_nests_too_deeply_is_refused() -> None:
    document = numbered(2000, lambda number: {"items": ref(number + 1)} if number < 1999 else {})
    with pytest.raises(Unresolved, match=f"more than {MAX_LEVELS} levels"):
        document.resolved(ref(0))
    assert document.resolved(ref(1990)).levels <= MAX_LEVELS


def test_properties_that_only_answers_have_are_left_out_and_counted() -> None:
    document = references(
        id={"type": "integer", "readOnly": True},
        pet={"type": "object", "required": ["id", "name"], "properties": {"id": ref("id"), "name": {"type": "string"}}},
        pair={"type": "object", "properties": {"one": ref("pet"), "two": ref("pet")}},
    )
    pet = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    found = document.resolved(ref("pair"))
    assert found.schema == {"type": "object", "properties": {"one": pet, "two": pet}}
    assert found.read_only == 2
