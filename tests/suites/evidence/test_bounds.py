from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats  # type: ignore[import-untyped]

from topcoat.suites.evidence.bounds import change_bounds, family_bounds, mean_bounds, student_quantile


def score_by_likelihood(down: int, up: int, n: int, fall: float) -> float:
    """Tango's statistic by its definition: the hypothesis' likelihood is maximized numerically, not in closed form."""

    def cost(rising: float) -> float:
        terms = [(down, rising + fall), (up, rising), (n - down - up, 1 - 2 * rising - fall)]
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    least, most = max(0.0, -fall), (1 - fall) / 2
    rising = optimize.minimize_scalar(cost, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    return float((down - up - n * fall) / math.sqrt(n * (2 * rising + fall - fall**2)))


@pytest.mark.parametrize(("down", "up", "n"), [(9, 3, 150), (2, 9, 60), (5, 5, 40), (30, 1, 300)])
@pytest.mark.parametrize("level", [0.05, 0.0125])
def test_a_bound_is_where_the_score_test_rejects(down: int, up: int, n: int, level: float) -> None:
    low, high = change_bounds(down, up, n, level)
    limit = stats.norm.ppf(1 - level)
    assert score_by_likelihood(down, up, n, low) == pytest.approx(limit, abs=1e-3)
    assert score_by_likelihood(down, up, n, high) == pytest.approx(-limit, abs=1e-3)


def test_without_a_change_bounds_have_a_width() -> None:
    z = stats.norm.ppf(0.95)
    for n in (1, 27, 300):
        low, high = change_bounds(0, 0, n, 0.05)
        assert high == pytest.approx(z**2 / (n + z**2))
        assert low == pytest.approx(-high)
    # The exact bound with no fall among n cases, 1 - 0.05 ** (1 / n), is close.
    assert change_bounds(0, 0, 300, 0.05)[1] == pytest.approx(1 - 0.05 ** (1 / 300), rel=0.12)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(80, 400))
@settings(max_examples=50)
def test_falls_and_gains_mirror_each_other(down: int, up: int, n: int) -> None:
    low, high = change_bounds(down, up, n, 0.05)
    assert low <= (down - up) / n <= high
    assert change_bounds(up, down, n, 0.05) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("down", "up"), [(0.04, 0.01), (0.10, 0.04), (0.025, 0.025), (0.3, 0.0)])
@pytest.mark.parametrize("n", [60, 300])
def test_a_bound_over_cases_is_wrong_as_often_as_its_level(down: float, up: float, n: int) -> None:
    """Where few answers change, counts are coarse: the lower bound is wrong up to 1.7 times as often."""
    generator = np.random.default_rng(17)
    samples = generator.multinomial(n, [down, up, 1 - down - up], size=1500)
    bounds = [change_bounds(float(fallen), float(risen), n, 0.05) for fallen, risen, _ in samples]
    assert np.mean([high < down - up for _, high in bounds]) < 0.065
    assert np.mean([low > down - up for low, _ in bounds]) < 0.09


def test_smaller_changes_with_the_same_sum_are_safe() -> None:
    """Half points lost twice as often: the bounds are those of whole points, and wrong less often than their level."""
    generator = np.random.default_rng(3)
    falls = 0.5 * generator.multinomial(150, [0.12, 0.04, 0.84], size=1000)
    assert np.mean([change_bounds(down, up, 150, 0.05)[1] < 0.04 for down, up, _ in falls]) < 0.05


@pytest.mark.parametrize("freedom", [1.0, 1.5, 5.0, 13.4, 599.0])
@pytest.mark.parametrize("share", [0.9, 0.95, 0.9833, 0.999])
def test_quantiles_of_student_s_t_are_scipy_s(share: float, freedom: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-8)


def test_bounds_of_a_mean_are_scipy_s() -> None:
    for solved, n in ((0, 9), (13, 27), (300, 300)):
        expected = stats.binomtest(solved, n).proportion_ci(confidence_level=0.9, method="wilson")
        assert mean_bounds(solved / n, n, 0.05) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_families_of_one_case_give_student_s_interval() -> None:
    values = np.array([1.0, 0.0, -1.0, 0.0, 1.0, 0.5])
    found = family_bounds(values, list("abcdef"), 0.05, (0.2, 0.2))
    expected = stats.t.interval(0.9, 5, loc=values.mean(), scale=stats.sem(values))
    assert found == pytest.approx(expected)


def test_a_family_is_one_observation_however_many_cases_it_has() -> None:
    values = [1.0, 0.0, -1.0, 0.0, 1.0, 0.5]
    once = family_bounds(np.array(values), list("abcdef"), 0.05, (0.2, 0.2))
    often = family_bounds(np.repeat(values, 50), np.repeat(list("abcdef"), 50).tolist(), 0.05, (0.2, 0.2))
    assert often == pytest.approx(once)


def test_families_that_agree_are_no_narrower_than_their_cases() -> None:
    assert family_bounds(np.zeros(40), ["a", "b"] * 20, 0.05, (-0.06, 0.07)) == (-0.06, 0.07)


def test_one_family_shows_nothing_about_others() -> None:
    assert family_bounds(np.zeros(40), ["a"] * 40, 0.05, (-0.1, 0.1)) == (-math.inf, math.inf)


@pytest.mark.parametrize("families", [6, 14, 40])
def test_bounds_over_families_hold_where_families_differ(families: int) -> None:
    """Each family's fall is drawn from a population whose mean is 0. Bounds over cases miss it too often."""
    generator = np.random.default_rng(families)
    names = np.repeat([f"f{i}" for i in range(families)], 300 // families).tolist()
    missed, too_narrow = [], []
    for _ in range(400):
        effects = np.repeat(generator.normal(0.0, 0.15, families), 300 // families)
        down = generator.random(len(names)) < np.clip(0.2 + effects / 2, 0, 1)
        up = generator.random(len(names)) < np.clip(0.2 - effects / 2, 0, 1)
        falls = down.astype(float) - up
        inner = change_bounds(float((falls > 0).sum()), float((falls < 0).sum()), len(falls), 0.05)
        outer = family_bounds(falls, names, 0.05, inner)
        too_narrow.append(inner[0] > 0 or inner[1] < 0)
        missed.append(outer[0] > 0 or outer[1] < 0)
    assert np.mean(missed) < 0.13  # 0.10, and a chance
    if families == 6:
        assert np.mean(too_narrow) > 0.2


def test_no_cases_have_no_bounds() -> None:
    with pytest.raises(ValueError, match="without cases"):
        change_bounds(0, 0, 0, 0.05)
    with pytest.raises(ValueError, match="without cases"):
        mean_bounds(0.5, 0, 0.05)
