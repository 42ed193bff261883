from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from topcoat.spec.rules.leaderboard import is_blank, is_one_of

LIST_OF_TEXTS = {"type": "array", "items": {"type": "string"}}
LIST_OF_NUMBERS = {"type": "array", "items": {"type": "integer"}}
LIST_OF_FLOATS = {"type": "array", "items": {"type": "number"}}
CASES: dict[str, tuple[Any, list[Any], Any, bool]] = {
    "a text in another spelling": ("new york, ny", ["New-York NY"], "string", True),
    "another text": ("Boston", ["New York"], "string", False),
    "quotes": ("'a'", ['"A"'], "string", True),
    "a digit is no text": (5, ["5"], "string", False),
    "a whole number": (5, [5], "integer", True),
    "a float for a whole number": (5.0, [5], "integer", False),
    "a whole number for a number": (5, [5.0], "number", True),
    "a number": (5.5, [5.0, 5.5], "number", True),
    "true for a number": (True, [1], "integer", False),
    "one for true": (1, [True], "boolean", False),
    "true": (True, [True], "boolean", True),
    "a variable": ("x_1", ["x_1"], "integer", True),
    "a variable in another spelling": ("X1", ["x_1"], "integer", False),
    "a list in another spelling": (["a b", "C"], [["A.B", "c"]], LIST_OF_TEXTS, True),
    "a list in another order": (["b", "a"], [["a", "b"]], LIST_OF_TEXTS, False),
    "a list of wrong items": (["1"], [[1]], LIST_OF_NUMBERS, False),
    "a float for a whole number in a list": ([1, 2.0], [[1, 2]], LIST_OF_NUMBERS, False),
    "true for a number in a list": ([True], [[1]], LIST_OF_NUMBERS, False),
    "a whole number for a number in a list": ([1, 2.0], [[1.0, 2.0]], LIST_OF_FLOATS, False),
    "whole numbers that the list of numbers expects": ([1, 2], [[1, 2]], LIST_OF_FLOATS, True),
    "a text in a list of a list": ([["A"]], [[["a"]]], {"type": "array", "items": {"type": "array"}}, False),
    "a variable for a list": ("data['x']", ["data['x']"], LIST_OF_FLOATS, True),
    "null for a number": (None, [None], "integer", True),
    "an object in another spelling": ({"a": "X y"}, [{"a": "xy"}], "object", True),
    "an object with another name": ({"a": "x", "b": 1}, [{"a": "x"}], "object", False),
    "objects in a list": ([{"a": "X"}], [[{"a": "x"}]], {"type": "array", "items": {"type": "object"}}, True),
    "left out": ("", ["a", ""], "string", True),
    "no type": (5, [5], None, True),
    "no type and another one": ("5", [5], None, False),
}


@pytest.mark.parametrize(("given", "possible", "schema", "right"), CASES.values(), ids=CASES)
def test_the_leaderboards_comparison(given: object, possible: list[Any], schema: Any, right: bool) -> None:
    schema = {"type": schema} if isinstance(schema, str) else schema or {}
    assert is_one_of(given, possible, schema) is right


def test_inside_of_an_object_types_do_not_count() -> None:
    assert is_one_of(5.0, [5], None)
    assert is_one_of("A-b", ["ab"], None)
    assert not is_one_of("c", ["ab"], None)


def test_blank() -> None:
    assert is_blank("", {"type": "string"})
    assert is_blank("-", {})
    assert not is_blank("x", {"type": "string"})
    assert not is_blank(0, {"type": "integer"})


@drawn(st.text(max_size=12), st.lists(st.tuples(st.integers(0, 12), st.sampled_from(" ,./-_*^")), max_size=6))
def test_ignored_characters_change_nothing(text: str, inserted: list[tuple[int, str]]) -> None:
    changed = text
    for place, character in inserted:
        changed = changed[:place] + character + changed[place:]
    assert is_one_of(changed, [text], {"type": "string"})
    assert is_one_of([changed], [[text]], LIST_OF_TEXTS)
    assert is_one_of({"a": changed}, [{"a": text}], {"type": "object"})
