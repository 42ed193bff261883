"""New words, numbers and codes have the shape of the old ones, and are unknown."""

from __future__ import annotations

import re
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from topcoat.guard.fresh import Fresh, known_words, redrawn
from topcoat.guard.shapes import number_of
from topcoat.guard.vocabulary import NEW_WORDS

_SEEDS = st.text(max_size=5)
_NUMBERS = st.integers(3, 10**6).map(str) | st.decimals(1, 999, places=2, allow_nan=False).map(str)


@settings(max_examples=50)
@given(st.sets(st.sampled_from(NEW_WORDS), min_size=300), st.lists(st.sampled_from("abcdef"), unique=True), _SEEDS)
def test_new_words_are_unknown_and_different(known: set[str], old: list[str], seed: str) -> None:
    """Also where nearly every listed word is known."""
    new = Fresh(known, seed).words(old)
    assert list(new) == old
    assert len(set(new.values())) == len(old)
    assert not known & set(new.values())
    assert all(re.fullmatch("[a-z]{3,}", word) for word in new.values())
    assert Fresh(known, seed).words(old) == new


@settings(max_examples=200)
@given(st.lists(_NUMBERS, min_size=1, max_size=5, unique_by=number_of), st.lists(st.integers(0, 99)), _SEEDS)
def test_new_numbers_keep_form_and_order(old: list[str], beside: list[int], seed: str) -> None:
    new = Fresh((), seed).numbers(old, [x for x in beside if str(x) not in old], {})
    for text, other in new.items():
        assert re.sub(r"\d", "9", other) == re.sub(r"\d", "9", text)
    values = {number_of(text): number_of(other) for text, other in new.items()} | (
        {x: x for x in beside} if new else {}
    )
    ordered = sorted(values)
    assert [values[x] for x in ordered] == sorted(values.values())
    assert len(set(values.values())) == len(values)
    assert not new or any(text != other for text, other in new.items())


@settings(max_examples=200)
@given(_NUMBERS, st.integers())
def test_a_new_number_is_of_the_same_size(text: str, seed: int) -> None:
    value = number_of(text)
    assert value / 2 <= number_of(redrawn(text, Random(seed))) <= 2 * value
    assert value / 2 <= number_of(redrawn(text, Random(seed), "bounded")) <= value


def test_a_year_stays_one() -> None:
    years = {int(redrawn("2019", Random(seed))) for seed in range(200)}
    assert {2007, 2022} <= years <= set(range(2007, 2023))
    assert all(1790 <= int(redrawn("1789", Random(seed), "year")) < 1830 for seed in range(50))


def test_years_and_other_numbers_of_four_digits_dont_mix() -> None:
    for seed in range(50):
        new = Fresh((), str(seed)).numbers(["1500", "2004", "3000", "1998"], [], {})
        assert not new or (int(new["1998"]) in range(1986, 2002) and int(new["2004"]) in range(1992, 2008))


def test_codes_keep_their_shape() -> None:
    for seed in range(50):
        assert re.fullmatch(r"TCK-\d{5}", Fresh((), str(seed)).code("TCK-48213"))
        assert Fresh((), str(seed)).code("TCK-48213") != "TCK-48213"


def test_words_inside_of_names_are_known() -> None:
    assert known_words(["see test_fooBar.py", "HTTPServer"]) == {"see", "test", "foo", "bar", "py", "http", "server"}
