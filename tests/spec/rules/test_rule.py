from __future__ import annotations

from typing import Any

import pytest

from topcoat.spec.rules.rule import Rule, exactly, is_rule, rule_faults, rule_of, wording


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (5, False),
        ("any_of", False),
        ({}, False),
        ({"unit": "celsius"}, False),
        ([{"absent": True}], False),
        ({"absent": True}, True),
        ({"any_of": [1], "pattern": "x"}, True),
    ],
)
def test_what_is_a_rule(value: Any, rule: bool) -> None:
    assert is_rule(value) is rule


def test_an_exact_value_is_a_rule_with_one_alternative() -> None:
    assert rule_of({"unit": "celsius"}) == Rule(any_of=({"unit": "celsius"},))
    assert rule_of({"object": {"a": None}, "absent": True}) == Rule(object={"a": Rule(any_of=(None,))}, absent=True)


@pytest.mark.parametrize("value", [5, {"a": 1}, {"pattern": "x"}, {"any_of": [1], "b": 2}, {"anyOf": [1]}, [], {}])
def test_a_value_is_expected_exactly(value: Any) -> None:
    assert rule_of(exactly(value)) == Rule(any_of=(value,))
    assert list(rule_faults(exactly(value), "args.a")) == []


@pytest.mark.parametrize(("value", "meant"), [({"anyof": ["a"]}, "any_of"), ({"jsonSchema": {}}, "json_schema")])
def test_another_spelling_of_a_rule_is_no_exact_object(value: Any, meant: str) -> None:
    [(key, message, hint)] = rule_faults(value, "args.a")
    assert (key, message) == ("args.a", "is written nearly as a rule")
    assert hint.startswith(f"did you mean {meant}?")
    assert list(rule_faults({**value, "b": 1}, "args.a")) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "5"),
        ({"any_of": ["a", 5, None]}, '"a" or 5 or null'),
        ({"any_of": [1, 2, 3, 4]}, "1 or 2 or 3 or 1 more"),
        ({"pattern": "^a"}, "like ^a"),
        ({"absent": True}, "left out, or its default"),
        ({"any_of": [1], "absent": True}, "1, or left out"),
        ({"json_schema": {"minimum": 3}}, 'as {"minimum": 3} asks'),
        ({"object": {"a": 1, "b": {"absent": True}}}, "{a: 1, b: left out, or its default}"),
        ({"pattern": "a", "json_schema": {"maxLength": 2}}, 'like a and as {"maxLength": 2} asks'),
    ],
)
def test_a_rule_in_words(value: Any, words: str) -> None:
    assert wording(rule_of(value)) == words
