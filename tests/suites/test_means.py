"""Means are the same on every Python: from 3.12 on, `sum` of floats is compensated, and before it isn't."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topcoat.engine.protocol import Row
from topcoat.examples.rows import with_mean_weight_one
from topcoat.phases.plan import _shared
from topcoat.store.records import Score
from topcoat.suites.evaluate import _sum_up
from topcoat.suites.evidence.matrix import _mean
from topcoat.suites.evidence.statistics import interval, wilson


def naive(values: Iterable[Any], start: Any = 0) -> Any:
    """`sum` up to Python 3.11."""
    for value in values:
        start = start + value
    return start


def compensated(values: Iterable[Any], start: Any = 0) -> Any:
    """`sum` from Python 3.12 on: the algorithm of Neumaier (1974), ZAMM 54, 39-51."""
    total, lost = start, 0.0
    for value in values:
        if not isinstance(value, float):
            total = total + value
            continue
        new = total + value
        lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
        total = new
    return total + lost if lost else total


def category(values: Sequence[float]) -> float:
    scores = [
        Score(case_id=str(n), category="git", value=value, reason="", scorer="run") for n, value in enumerate(values)
    ]
    return _sum_up("git", scores, 0).mean


def confidence(values: Sequence[float]) -> tuple[float, float]:
    return interval(values, [str(n) for n in range(len(values))])


def weights(values: Sequence[float]) -> list[float]:
    tokens, trained = np.zeros(2, np.int32), np.ones(2, np.bool_)
    return [row.weight for row in with_mean_weight_one([Row(tokens, trained, value) for value in values])]


SCORES = st.lists(st.integers(1, 10).map(lambda tenths: tenths / 10), min_size=1, max_size=40)


@pytest.mark.parametrize("add", [naive, compensated])
@pytest.mark.parametrize("function", [category, confidence, weights, _mean, lambda values: _shared(1000, values, 1)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=SCORES)
def test_no_figure_depends_on_how_python_sums(
    function: Callable[[Sequence[float]], object], add: Callable[..., Any], values: list[float]
) -> None:
    here = function(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "sum", add)
        assert function(values) == here


@given(SCORES)
def test_a_mean_is_the_exact_sum_rounded_once(values: list[float]) -> None:
    exact = float(naive(map(Fraction, values))) / len(values)
    assert category(values) == _mean(values) == min(1.0, exact)
    assert confidence(values) == wilson(min(1.0, exact), len(values))
    assert weights(values) == [value / exact for value in values]
