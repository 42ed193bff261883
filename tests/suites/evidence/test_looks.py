from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.suites.evidence.looks import plan_looks, spent


def test_looks_double_and_the_last_one_has_the_most() -> None:
    assert [look.cases for look in plan_looks(150, 600, 0.05)] == [150, 300, 600]
    assert [look.cases for look in plan_looks(150, 500, 0.05)] == [150, 300, 500]
    # A look at 300 would have most of the 400 cases already.
    assert [look.cases for look in plan_looks(150, 400, 0.05)] == [150, 400]
    assert [look.cases for look in plan_looks(150, 150, 0.05)] == [150]


def test_a_single_look_may_spend_everything() -> None:
    (look,) = plan_looks(27, 27, 0.05)
    assert (look.number, look.of, look.planned_last) == (1, 1, True)
    assert look.level == look.rest == pytest.approx(0.05)


def test_the_spending_function_is_that_of_lan_and_demets() -> None:
    assert spent(0.0, 0.05) == 0.0
    assert spent(1.0, 0.05) == pytest.approx(0.05)
    assert spent(0.25, 0.05) == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 4))


@given(st.integers(1, 400), st.integers(0, 5000), st.floats(0.001, 0.5))
def test_all_looks_together_spend_alpha(first: int, more: int, alpha: float) -> None:
    looks = plan_looks(first, first + more, alpha)
    assert sum(look.level for look in looks) == pytest.approx(alpha)
    assert all(0 < look.level <= look.rest for look in looks)
    assert looks[-1].cases == first + more
    assert [look.number for look in looks] == list(range(1, len(looks) + 1))
    for number, look in enumerate(looks):
        assert look.rest == pytest.approx(alpha - sum(earlier.level for earlier in looks[:number]))


@pytest.mark.parametrize(("first", "most", "alpha"), [(0, 10, 0.05), (11, 10, 0.05), (5, 10, 0.0), (5, 10, 1.0)])
def test_impossible_looks_are_refused(first: int, most: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="no looks"):
        plan_looks(first, most, alpha)
