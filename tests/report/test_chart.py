from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from topcoat.report.chart import bar, before_and_after, curves, thinned, ticks

LOSSES = st.floats(min_value=1e-6, max_value=1e6)


def test_ticks_are_round_and_hold_the_range() -> None:
    assert ticks(0.0, 1.0, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.31, 2.2, 5) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert ticks(3.0, 3.0, 5) == [3.0, 4.0]


@given(LOSSES, LOSSES)
def test_ticks_enclose_any_range(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    marks = ticks(low, high, 5)
    slack = 1e-6 * (marks[1] - marks[0]) + 1e-9 * high
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 8
    assert marks == sorted(set(marks))


def test_thinning_keeps_the_mean() -> None:
    points = [(float(i), float(i % 3)) for i in range(1200)]
    few = thinned(points)
    assert len(few) == 400
    assert few[0] == (1.0, 1.0)
    assert thinned(points[:5]) == points[:5]
    assert thinned([]) == []


def test_bars_are_as_long_as_the_scores() -> None:
    widths = re.findall(r'width="([\d.]+)" height="[\d.]+" class="fill-(\w+)"', before_and_after(0.25, 0.5, 0.75))
    assert widths == [("100", "track"), ("50", "coat"), ("25", "base"), ("0.9", "ink")]
    assert "fill-base" not in before_and_after(None, 0.5, None)
    assert 'width="100" height="10" class="fill-bad"' in bar(7.0, bad=True)


def test_curves_mark_the_best_checkpoint() -> None:
    drawing = curves([(1.0, 2.0), (10.0, 1.0)], [(0.0, 2.0), (10.0, 0.5)], (10.0, 0.5), "Loss & more")
    assert 'aria-label="Loss &amp; more"' in drawing
    assert "best: 0.500 at update 10" in drawing
    assert '<circle cx="100.00%" cy="100.00%" r="7.5" class="dot at-best">' in drawing
    assert 'd="M10.00 0.00L100.00 66.67" class="train"' in drawing
