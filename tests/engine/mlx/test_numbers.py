from __future__ import annotations

import math

import mlx.core as mx
import pytest

from topcoat.engine.mlx.numbers import difference

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("found", "expected", "apart"),
    [
        ([1.0, 2.0, -4.0], [1.0, 3.0, -4.0], 0.25),
        ([1.0, -INF], [1.0, -INF], 0.0),
        ([1.0, -INF, 2.0], [1.0, -INF, 4.0], 0.5),
        ([1.0, -3.0], [1.0, -INF], INF),
        ([1.0, -INF], [1.0, -3.0], INF),
        ([1.0, INF], [1.0, -INF], INF),
    ],
)
def test_the_largest_difference_is_relative_to_the_largest_finite_number(
    found: list[float], expected: list[float], apart: float
) -> None:
    assert difference(mx.array(found), mx.array(expected)) == apart


@pytest.mark.parametrize(("found", "expected"), [([NAN, 1.0], [1.0, 1.0]), ([1.0, 1.0], [NAN, 1.0]), ([NAN], [NAN])])
def test_what_is_no_number_makes_the_difference_none(found: list[float], expected: list[float]) -> None:
    assert math.isnan(difference(mx.array(found), mx.array(expected)))


def test_it_may_be_relative_to_more_than_is_compared() -> None:
    assert difference(mx.array([1.0]), mx.array([2.0]), mx.array([2.0, -INF, -8.0])) == 0.125
