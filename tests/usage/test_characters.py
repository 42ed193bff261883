from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.usage.characters import whole_characters


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("\ud83c\udfa8", "🎨"),
        ("\udfa8\ud83c", "\ufffd\ufffd"),
        ("a\ud800b", "a\ufffdb"),
        ({"\udc00": ["\ud800", 1, None]}, {"\ufffd": ["\ufffd", 1, None]}),
    ],
)
def test_halves_are_joined_or_replaced(value: Any, whole: Any) -> None:
    assert whole_characters(value) == whole


@given(st.text(st.characters(codec="utf-8")))
def test_whole_text_stays(text: str) -> None:
    assert whole_characters([text]) == [text]


@given(st.text(st.characters()))
def test_what_is_made_can_be_written(text: str) -> None:
    assert whole_characters(text).encode().decode() == whole_characters(text)
