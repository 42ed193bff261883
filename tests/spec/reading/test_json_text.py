from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.spec.reading.json_text import MAX_DEPTH, Unreadable, parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_a_document_is_read_as_it_was_written(document: object) -> None:
    assert parse_json(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', 'the key "a" is written twice'),
        ('[{"a": {"b": 1, "b": 1}}]', 'the key "b" is written twice'),
        ("[NaN]", "NaN is not valid JSON"),
        ("[1e999]", "the number 1e999 is too large"),
        (f"[{'9' * 5000}]", "a number has too many digits"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('"\\ud800"', "half of a surrogate pair"),
    ],
)
def test_what_no_other_reader_means_is_refused(text: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        parse_json(text)


def test_a_mistake_has_its_line() -> None:
    with pytest.raises(Unreadable) as caught:
        parse_json("[\n1,\n}")
    assert (caught.value.line, caught.value.message) == (3, "not valid JSON at column 1: expecting value")
