from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from topcoat.suites.evidence.statistics import (
    ALPHA,
    DRAWS,
    Pairs,
    by_family,
    detectable_drop,
    holm,
    interval,
    sign_flip_p,
    weigh,
    wilson,
)

Array = NDArray[np.float64]


def alone(before: list[float] | Array, after: list[float] | Array, looks: int = 1) -> Pairs:
    """Pairs in which every case is a family of its own."""
    return Pairs(np.array(before, float), np.array(after, float), [f"c{i}" for i in range(len(before))], looks)


def brute_force(differences: list[float]) -> float:
    """The p value by its definition, with a tolerance for the rounding of sums."""
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(differences))]  # fmt: skip
    return sum(value >= observed - 1e-9 for value in sums) / len(sums)


# Intervals


@pytest.mark.parametrize(("solved", "n"), [(0, 1), (1, 1), (0, 27), (27, 27), (13, 27), (26, 27), (88, 200)])
def test_the_interval_of_a_share_is_scipy_s(solved: int, n: int) -> None:
    expected = stats.binomtest(solved, n).proportion_ci(method="wilson")
    assert wilson(solved / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval([1.0] * solved + [0.0] * (n - solved), [str(i) for i in range(n)]) == wilson(solved / n, n)


def test_an_interval_holds_its_mean_even_at_the_ends() -> None:
    for mean in (0.0, 1e-12, 0.1 + 0.2, 1 - 1e-12, 1.0):
        low, high = wilson(mean, 7)
        assert 0.0 <= low <= mean <= high <= 1.0
        assert high - low > 0.2


def test_cases_of_a_family_are_one_observation() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    assert interval(values, ["a", "a", "a", "b", "b", "b"]) == wilson(0.5, 2)
    # Sizes 4, 1, 1 are worth 36 / 18 = 2 families, not 3.
    assert interval(values, ["a", "a", "a", "a", "b", "c"]) == wilson(0.5, 2)
    with pytest.raises(ValueError, match="without values"):
        interval([], [])


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param([(0.0, 0.5), (1.0, 0.5)], id="coin"),
        pytest.param([(0.0, 0.1), (1.0, 0.9)], id="mostly right"),
        pytest.param([(0.1, 0.2), (0.6, 0.1), (1.0, 0.7)], id="tiers"),
        pytest.param([(0.0, 0.05), (0.9, 0.9), (1.0, 0.05)], id="skewed"),
        pytest.param([(0.3, 0.5), (0.5, 0.5)], id="narrow"),
    ],
)
@pytest.mark.parametrize("n", [9, 27])
def test_intervals_cover_the_true_mean(scores: list[tuple[float, float]], n: int) -> None:
    values, chances = np.array(scores).T
    generator = np.random.default_rng(5)
    samples = generator.choice(values, p=chances, size=(2000, n))
    intervals = [wilson(min(1.0, float(mean)), n) for mean in samples.mean(axis=1)]
    assert np.mean([low <= values @ chances <= high for low, high in intervals]) > 0.93


# The paired test


@given(st.lists(st.sampled_from([-1.0, -0.9, -0.5, -0.1, 0.0, 0.1, 0.4, 0.5, 1.0]), max_size=9))
@settings(max_examples=60)
def test_p_is_that_of_brute_force(differences: list[float]) -> None:
    assert sign_flip_p(np.array(differences)) == pytest.approx(brute_force(differences), abs=1e-12)


def test_p_is_scipy_s() -> None:
    differences = np.array([-1.0, -0.9, 0.1, 0.5, -0.5, -0.4, 0.2, -1.0, -1.0, 0.0])
    expected = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("up", "down"), [(0, 6), (2, 9), (0, 20), (7, 13)])
def test_p_of_whole_scores_is_the_sign_test_s(up: int, down: int) -> None:
    differences = np.array([1.0] * up + [-1.0] * down + [0.0] * 30)
    assert sign_flip_p(differences) == pytest.approx(stats.binomtest(up, up + down).pvalue)


@pytest.mark.parametrize(("up", "down"), [(10, 20), (18, 22), (5, 30)])
def test_many_changes_are_sampled_close_to_the_exact_p(up: int, down: int) -> None:
    differences = np.array([1.0] * up + [-1.0] * down)
    exact = stats.binomtest(up, up + down).pvalue
    found = sign_flip_p(differences)
    assert found == pytest.approx(exact, abs=4 * (exact * (1 - exact) / DRAWS) ** 0.5 + 1 / DRAWS)
    assert found == sign_flip_p(differences[::-1])
    assert found > 0


def test_a_sampled_p_is_never_zero() -> None:
    """Of 40 families that all rose, no sign pattern that is drawn reaches as far: p is one in draws plus one."""
    assert sign_flip_p(np.ones(40)) == pytest.approx(1 / (1 + DRAWS))


def test_families_flip_together() -> None:
    before, after = [1.0] * 12, [0.0] * 12
    families = [f"f{i // 4}" for i in range(12)]
    assert weigh({"git": Pairs(np.array(before), np.array(after), families)})["git"].p == 0.25  # 2 of 2**3
    assert weigh({"git": alone(before, after)})["git"].p == 2 / 2**12
    # What rises and falls within a family cancels out.
    assert by_family(np.array([1.0, -1.0, 0.5]), ["a", "a", "b"]).tolist() == [0.0, 0.5]


def test_nothing_changed_is_p_1() -> None:
    assert sign_flip_p(np.zeros(5)) == 1.0
    assert sign_flip_p(np.array([])) == 1.0
    assert sign_flip_p(np.array([0.1 + 0.2 - 0.3])) == 1.0


# Several categories


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_calls() -> None:
    n = 27
    ones, zeros = [1.0] * n, [0.0] * n
    fell = [0.0] * 10 + [1.0] * 17
    categories = {
        "better": alone(zeros, ones),
        "worse": alone(ones, fell),
        "some": alone(ones, [0.0] * 6 + [1.0] * 21),
        "one": alone(ones, [0.0] + [1.0] * 26),
        "same": alone(ones, ones),
    }
    found = weigh(categories)
    assert {name: evidence.call for name, evidence in found.items()} == {
        "better": "confirmed better",
        "worse": "confirmed worse",
        "some": "suspected",
        "one": "indistinguishable",
        "same": "indistinguishable",
    }
    # Holm over the four that changed: 4 p, 3 p, 2 p, p.
    assert found["worse"].adjusted_p == pytest.approx(3 * 2 / 2**10)
    assert found["some"].adjusted_p == pytest.approx(2 * 2 / 2**6)
    assert (found["some"].p, found["some"].changed, found["some"].pairs) == (2 / 2**6, 6, n)
    assert found["some"].level == ALPHA / 4
    assert found["same"].level == ALPHA / 5  # it would be the fifth that changed
    assert weigh(categories, blocked=["one"])["one"].call == "suspected"


def test_a_category_with_a_second_look_spends_half_on_each() -> None:
    before, after = [1.0] * 6, [0.0] * 6
    assert weigh({"git": alone(before, after)})["git"].call == "confirmed worse"
    twice = weigh({"git": alone(before, after, looks=2)})["git"]
    assert (twice.call, twice.p, twice.adjusted_p, twice.level) == ("suspected", 2 / 2**6, 4 / 2**6, ALPHA / 2)


def test_where_nothing_changed_false_alarms_are_rare() -> None:
    """Seven categories of 27 cases, each answered twice at random with the same chances: nothing is to be found."""
    generator = np.random.default_rng(11)
    alarms = 0
    runs = 400
    for _ in range(runs):
        categories = {}
        for category in range(7):
            chances = generator.beta(2, 1, size=27)
            first, second = (generator.random((2, 27)) < chances).astype(float)
            categories[str(category)] = alone(first, second)
        alarms += any(evidence.call.startswith("confirmed") for evidence in weigh(categories).values())
    assert alarms / runs < ALPHA


def test_false_alarms_stay_rare_with_families_and_a_second_look() -> None:
    """Three categories, 12 families of 2 cases that agree; then 12 more of each category that was suspected."""
    generator = np.random.default_rng(12)
    families = [f"f{i // 2}" for i in range(48)]
    alarms = 0
    runs = 400
    for _ in range(runs):
        scores = {name: np.repeat(generator.random((2, 24)) < 0.6, 2, axis=1).astype(float) for name in "abc"}

        def looked(cases: dict[str, int], scores: dict[str, Array] = scores) -> dict[str, str]:
            pairs = {c: Pairs(scores[c][0, :n], scores[c][1, :n], families[:n], looks=2) for c, n in cases.items()}
            return {name: evidence.call for name, evidence in weigh(pairs).items()}

        first = looked(dict.fromkeys("abc", 24))
        second = looked({name: 48 if call == "suspected" else 24 for name, call in first.items()})
        alarms += any(call.startswith("confirmed") for call in [*first.values(), *second.values()])
    assert alarms / runs < ALPHA


# Power


def confirmed(before: Array, after: Array, level: float) -> bool:
    return sign_flip_p(after - before) <= level and float((after - before).sum()) < 0


@pytest.mark.parametrize(
    ("n", "noise", "level"), [(27, 0.0, ALPHA / 7), (27, 0.15, ALPHA / 7), (12, 0.0, ALPHA), (60, 0.2, ALPHA / 14)]
)
def test_a_drop_of_the_printed_size_is_found_four_times_in_five(n: int, noise: float, level: float) -> None:
    generator = np.random.default_rng(7)
    churned = round(noise * n)
    # Solved half of what churns, so that noise can go both ways; everything else is solved.
    before = np.ones(n)
    seen = before.copy()
    seen[:churned] -= 1.0
    drop = detectable_drop(alone(before, seen), level)
    assert drop is not None
    found = 0
    runs = 600
    for _ in range(runs):
        falls = generator.random(n) < drop / before.mean()
        jitter = (generator.random(n) < churned / n) * generator.choice([-1.0, 1.0], n)
        after = np.where(falls, 0.0, before + jitter)
        found += confirmed(before, after, level)
    assert found / runs == pytest.approx(0.8, abs=0.05)


def test_a_drop_of_graded_scores_is_found_about_as_often() -> None:
    generator = np.random.default_rng(8)
    n, level = 40, ALPHA / 5
    before = generator.choice([0.1, 0.6, 1.0], n, p=[0.1, 0.2, 0.7])
    drop = detectable_drop(alone(before, before), level)
    assert drop is not None
    found = 0
    for _ in range(300):
        falls = generator.random(n) < drop / before.mean()
        found += confirmed(before, np.where(falls, 0.0, before), level)
    assert 0.75 < found / 300 < 0.92


def test_the_drop_by_hand() -> None:
    # Six families and p <= 0.05: all six have to fall (2 / 2**6), which happens in 80% with a chance of 0.8 ** (1 / 6).
    pairs = alone([1.0] * 6, [1.0] * 6)
    assert detectable_drop(pairs, 0.05) == pytest.approx(0.8 ** (1 / 6), abs=1e-4)
    # A mean of 0.5 over twelve cases, of which six have something to lose.
    zeros = alone([1.0] * 6 + [0.0] * 6, [1.0] * 6 + [0.0] * 6)
    assert detectable_drop(zeros, 0.05) == pytest.approx(0.5 * 0.8 ** (1 / 6), abs=1e-4)


def test_too_few_cases_can_show_no_fall() -> None:
    assert detectable_drop(alone([1.0] * 5, [1.0] * 5), 0.05) is None
    assert detectable_drop(alone([0.0] * 30, [0.0] * 30), 0.05) is None
    together = Pairs(np.ones(30), np.ones(30), [f"f{i // 6}" for i in range(30)])
    assert detectable_drop(together, 0.05) is None


def test_more_cases_show_smaller_drops_and_noise_hides_them() -> None:
    drops = [detectable_drop(alone([1.0] * n, [1.0] * n), 0.01) for n in (10, 30, 100, 300)]
    assert drops == sorted(drops, key=lambda drop: -(drop or 0.0))
    noisy = detectable_drop(alone([1.0] * 30, [0.0] * 6 + [1.0] * 24), 0.01)
    assert noisy is not None
    assert drops[1] is not None
    assert noisy > drops[1]
