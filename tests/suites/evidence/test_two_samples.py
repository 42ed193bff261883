from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.suites.evidence.looks import plan_looks
from topcoat.suites.evidence.two_samples import Group, decisive_look, p_more, power


def groups(most: int) -> st.SearchStrategy[Group]:
    return st.integers(1, most).flatmap(lambda n: st.builds(Group, st.integers(0, n), st.just(n)))


def counted_p(one: Group, other: Group) -> float:
    """The same p, by counting the ways to spread the wrong ones."""
    wrong, total = one.wrong + other.wrong, one.n + other.n
    ways = sum(math.comb(one.n, k) * math.comb(other.n, wrong - k) for k in range(one.wrong, min(one.n, wrong) + 1))
    return ways / math.comb(total, wrong)


@given(groups(30), groups(300))
def test_p_is_the_share_of_all_ways_to_spread_what_went_wrong(one: Group, other: Group) -> None:
    assert p_more(one, other) == pytest.approx(counted_p(one, other), rel=1e-9)


def test_the_lady_who_tastes_tea() -> None:
    """Fisher's own example: she finds all four of four cups, which is one way of 70."""
    assert p_more(Group(4, 4), Group(0, 4)) == pytest.approx(1 / 70)


@given(st.floats(0.0, 1.0), st.integers(1, 12), st.integers(1, 25), st.floats(0.001, 0.2))
def test_where_nothing_differs_the_chance_of_an_error_is_at_most_the_level(
    chance: float, n: int, other_n: int, level: float
) -> None:
    assert power(chance, chance, n, other_n, level) <= level * (1 + 1e-9)


@pytest.mark.parametrize(("one", "other", "n", "other_n"), [(0.9, 0.2, 6, 9), (0.5, 0.1, 10, 30)])
def test_power_is_the_chance_of_all_outcomes_with_a_small_p(one: float, other: float, n: int, other_n: int) -> None:
    expected = sum(
        math.comb(n, a)
        * one**a
        * (1 - one) ** (n - a)
        * math.comb(other_n, b)
        * other**b
        * (1 - other) ** (other_n - b)
        for a in range(n + 1)
        for b in range(other_n + 1)
        if counted_p(Group(a, n), Group(b, other_n)) <= 0.03
    )
    assert power(one, other, n, other_n, 0.03) == pytest.approx(expected)


def test_the_decisive_look_comes_later_where_less_differs() -> None:
    looks = plan_looks(10, 200, 0.05)
    found = [decisive_look(one, 0.1, 0.1, looks) for one in (1.0, 0.5, 0.3, 0.11)]
    cases = [look.cases if look else math.inf for look in found]
    assert cases == sorted(cases)
    assert cases[0] == 10
    assert cases[-1] == math.inf
