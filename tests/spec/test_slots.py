from __future__ import annotations

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.spec.slots import fill, fill_pattern, fill_typed, list_of, slots

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def test_slots_are_found_in_order_everywhere() -> None:
    assert list(slots({"a {x}": ["{y2} {x}", 3], "b": {"{z}": None}})) == ["x", "y2", "x", "z"]
    assert list(slots(r"{{x}} \d{2,3} {} {1} {a-b} {a b}")) == []
    assert list_of("file12") == "file"


def test_what_takes_their_place() -> None:
    assert fill("{n} of {{n}} in {file}", {"n": 3, "file": "a.py"}) == "3 of {n} in a.py"
    assert fill("{yes}", {"yes": True}) == "true"
    assert fill_typed("{n}", {"n": 3}) == 3
    assert fill_typed("{n} ", {"n": 3}) == "3 "
    assert fill_typed("{{n}}", {}) == "{n}"
    with pytest.raises(KeyError):
        fill("{n}", {})


@given(TEXTS, TEXTS)
def test_a_value_in_a_pattern_is_found_as_it_is(value: str, other: str) -> None:
    pattern = jsonschema_rs.validator_for({"pattern": fill_pattern("^{x}$", {"x": value})})
    assert pattern.is_valid(value)
    assert pattern.is_valid(other) == (other == value)


@given(TEXTS)
def test_a_text_without_slots_stays(text: str) -> None:
    if "{" not in text:
        assert fill(text, {}) == text
