"""Values and calls as Python and JSON write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.examples.formats.literals import Unreadable, calls_at, value_at, values_in

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("ab_.-/ '", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(VALUES, st.sampled_from([repr, json.dumps, lambda value: json.dumps(value, ensure_ascii=False, indent=1)]))
def test_what_python_and_json_write_is_read(value: Any, write: Any) -> None:
    text = write(value)
    assert value_at(f"x {text} y", 1) == (value, len(text) + 2)


@given(
    st.lists(st.tuples(NAMES, st.dictionaries(st.sampled_from(["a", "from", "x-y"]), VALUES, max_size=2)), max_size=3)
)
def test_calls_with_any_name_are_read(calls: list[tuple[str, dict[str, Any]]]) -> None:
    written = [f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})" for name, given in calls]
    text = f"[{', '.join(written)}]"
    assert calls_at(text, 0) == (calls, len(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("('a', 1)", ["a", 1]),
        ("('a')", "a"),
        ("('a',)", ["a"]),
        ("[1, 2,]", [1, 2]),
        ("{'a': true, 'b': null,}", {"a": True, "b": None}),
        ('"two\nlines"', "two\nlines"),
        (r'"\ud83d\ude00 \d"', "\N{GRINNING FACE} \\d"),
        ("-.5e3", -500.0),
        ("+7", 7),
    ],
)
def test_other_ways_to_write_a_value(text: str, value: Any) -> None:
    assert value_at(text, 0) == (value, len(text))


@pytest.mark.parametrize(
    "text", ["", "x", "[1", "[1 2]", '"a', "{1: 2}", "{'a'}", "1.2.3", "2024-01-01x", "Truex", "f()"]
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        calls_at(f"[f(a={text})]", 0)


@pytest.mark.parametrize(
    "text", ["f(a=1)", "[f]", "[f(1)]", "[f(a=g())]", "[f(a=1, a=2)]", "[f(a==1)]", "[f(a=1)", "[(a=1)]"]
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        calls_at(text, 0)


def test_a_known_name_may_hold_parentheses() -> None:
    assert calls_at("[Get (v2)(a=1)]", 0, {"Get (v2)"}) == ([("Get (v2)", {"a": 1})], 15)
    with pytest.raises(Unreadable):
        calls_at("[Get (v2)(a=1)]", 0)


@pytest.mark.parametrize("text", ['[{"a": 1}, 2]', '{"a": 1}\n2', "{'a': 1}, 2", "[{'a': 1}]\n[2]"])
def test_values_stand_one_after_another_or_in_a_list(text: str) -> None:
    assert values_in(text) == [{"a": 1}, 2]
