from __future__ import annotations

from typing import Any

import pytest

from topcoat.calls.answer import NON_LITERAL
from topcoat.spec.rules.matching import equal, like, unmet_arguments
from topcoat.spec.rules.rule import rule_of

SCHEMA = {"properties": {"x": {"type": "integer", "default": 3}, "o": {"properties": {"d": {"default": "q"}}}}}


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [
        (5.0, 5, True),
        (5, 5.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        ("5", 5, False),
        (None, None, True),
        (None, False, False),
        ((1, (2,)), [1, [2]], True),
        ([1, True], [1, 1], False),
        ({"a": [1.0]}, {"a": [1]}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        (float("nan"), 1, False),
        (2**53 + 1, float(2**53), False),
        (NON_LITERAL, "computed", False),
    ],
)
def test_equality_is_that_of_json(given: object, expected: object, same: bool) -> None:
    assert equal(given, expected) is same


LACKS: dict[str, tuple[Any, Any, str]] = {
    "exact": (1, 2, "with x=2, not 1"),
    "exact, missing": (1, ..., "without x=1"),
    "alternatives": ({"any_of": [1, "b"]}, "c", "with x='c', not 1 or 'b'"),
    "alternatives, missing": ({"any_of": [1, "b"]}, ..., "without x=1 or 'b'"),
    "many alternatives": ({"any_of": [1, 2, 3, 4, 5]}, 6, "with x=6, not 1 or 2 or 3 or 2 more"),
    "an alternative": ({"any_of": [1, [2, True]]}, (2, True), ""),
    "pattern": ({"pattern": "^a"}, "ba", "with x='ba', not like ^a"),
    "pattern, no text": ({"pattern": "1"}, 1, "with x=1, not like 1"),
    "pattern, met": ({"pattern": "b$"}, "ab", ""),
    "schema": (
        {"json_schema": {"minimum": 3}},
        2,
        "with x=2, which doesn't fit its schema: 2 is less than the minimum of 3",
    ),
    "schema, inside": (
        {"json_schema": {"items": {"type": "string"}}},
        ["a", 1],
        "with x=['a', 1], which doesn't fit its schema: [1]: 1 is not of type \"string\"",
    ),
    "schema, missing": ({"json_schema": {"minimum": 4}}, ..., 'without x (as {"minimum": 4} asks)'),
    "schema, the default": ({"json_schema": {"minimum": 3}}, ..., ""),
    "schema, met": ({"json_schema": {"type": "array"}}, (1, 2), ""),
    "schema, not JSON": (
        {"json_schema": {}},
        {1, 2},
        "with x={1, 2}, which doesn't fit its schema: can't be checked: ",
    ),
    "schema, computed": ({"json_schema": {}}, NON_LITERAL, "with x=<computed>, which doesn't fit its schema: "),
    "schema, infinite": ({"json_schema": {}}, float("inf"), "with x=inf, which doesn't fit its schema: "),
    "schema, half a pair": ({"json_schema": {"type": "string"}}, "\ud800", ""),
    "absent": ({"absent": True}, ..., ""),
    "absent, the default": ({"absent": True}, 3.0, ""),
    "absent, given": ({"absent": True}, 4, "with x=4, which must be left out or be its default 3"),
    "absent or one": ({"any_of": [4], "absent": True}, ..., ""),
    "absent or one, given": ({"any_of": [4], "absent": True}, 4, ""),
    "absent or one, another": ({"any_of": [4], "absent": True}, 3, "with x=3, not 4"),
    "two keys": (
        {"pattern": "a", "json_schema": {"maxLength": 1}},
        "ab",
        "with x='ab', which doesn't fit its schema: ",
    ),
}


@pytest.mark.parametrize(("rule", "given", "lack"), LACKS.values(), ids=LACKS)
def test_what_an_argument_lacks(rule: Any, given: object, lack: str) -> None:
    arguments = {} if given is ... else {"x": given}
    found = unmet_arguments({"x": rule_of(rule)}, arguments, SCHEMA, "json")
    assert found == lack if not lack.endswith(": ") else found.startswith(lack)


OBJECTS: dict[str, tuple[Any, Any, str]] = {
    "met": ({"a": 1, "b": {"pattern": "x"}}, {"b": "x", "a": 1.0}, ""),
    "a wrong value": ({"a": 1, "b": {"pattern": "x"}}, {"a": 1, "b": "y"}, "with o.b='y', not like x"),
    "a missing one": ({"a": 1}, {}, "without o.a=1"),
    "left out": ({"a": {"absent": True}}, {}, ""),
    "another name": ({"a": 1}, {"a": 1, "c": 2}, "with o.c=2, which is not expected"),
    "no object": ({"a": 1}, [], "with o=[], not an object"),
    "its default": ({"d": {"absent": True}}, {"d": "q"}, ""),
    "not its default": (
        {"d": {"absent": True}},
        {"d": "r"},
        "with o.d='r', which must be left out or be its default 'q'",
    ),
    "deeper": ({"a": {"object": {"b": {"any_of": [1, 2]}}}}, {"a": {"b": 3}}, "with o.a.b=3, not 1 or 2"),
}


@pytest.mark.parametrize(("rules", "given", "lack"), OBJECTS.values(), ids=OBJECTS)
def test_what_an_object_lacks(rules: Any, given: object, lack: str) -> None:
    assert unmet_arguments({"o": rule_of({"object": rules})}, {"o": given}, SCHEMA, "json") == lack


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("b", "abc", True),
        ("(?i)B", "abc", True),
        ("(?s)a.c", "a\nc", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b", "a\nb", False),
        (r"(a)\1", "aa", True),
        ("a(?!b)", "ab", False),
        ("(?<=a)b", "ab", True),
        (r"\w", "é", False),
        ("a", "a\ud800", True),
    ],
)
def test_patterns(pattern: str, text: str, found: bool) -> None:
    assert like(text, pattern) is found


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b(?=x)", r"(a*)*\1b", r"^(\w+\s?)*$"])
def test_a_pattern_that_would_backtrack_for_ever_is_given_up(pattern: str) -> None:
    assert not like("a" * 5000 + "!", pattern)
