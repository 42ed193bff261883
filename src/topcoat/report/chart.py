"""Small charts as inline SVG, without a style of their own: pages may forbid inline styles.

Lines stretch with the page. Words and dots stand at percentages beside them, so they keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from topcoat.report.html import Html, element

__all__ = ["Point", "bar", "before_and_after", "curves", "thinned", "ticks", "trend"]

Point = tuple[float, float]

_MOST_POINTS = 400
_MOST_DOTS = 60


def before_and_after(before: float | None, after: float | None, goal: float | None) -> Html:
    """Two bars over 0..1: the new model's, and under it a thin one of the base. A mark shows the gate's target."""
    shapes = [_rect(0, 0, 100, 13, "fill-track")]
    if after is not None:
        shapes.append(_rect(0, 0, 100 * after, 8, "fill-coat"))
    if before is not None:
        shapes.append(_rect(0, 9, 100 * before, 4, "fill-base"))
    if goal is not None:
        shapes.append(_rect(min(100 * goal, 99.4) - 0.3, -2, 0.9, 17, "fill-ink"))
    return _stretched("bars", "0 -2 100 17", *shapes)


def bar(share: float, *, bad: bool = False) -> Html:
    """One bar over 0..1."""
    filled = _rect(0, 0, 100 * min(1.0, max(0.0, share)), 10, "fill-bad" if bad else "fill-coat")
    return _stretched("bar", "0 0 100 10", _rect(0, 0, 100, 10, "fill-track"), filled)


def curves(train: Sequence[Point], valid: Sequence[Point], best: Point | None, label: str) -> Html:
    """Two curves of (update, loss), with validations as dots and a line at the best checkpoint."""
    train = thinned([p for p in train if math.isfinite(p[1])])
    valid = thinned([p for p in valid if math.isfinite(p[1])])
    points = [*train, *valid, *([best] if best else [])]
    if not points:
        return element("p", "No loss was recorded.", class_="soft")
    across = ticks(min(x for x, _ in points), max(x for x, _ in points), 6)
    upward = ticks(min(y for _, y in points), max(y for _, y in points), 5)
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    across = [x for x in across if left <= x <= right]

    def place(point: Point) -> Point:
        x = (point[0] - left) / (right - left) if right > left else 0.5
        return 100 * x, 100 - 100 * (point[1] - upward[0]) / (upward[-1] - upward[0])

    heights = {f"{y:g}": place((left, y))[1] for y in upward}
    lines = [_path([(0.0, height), (100.0, height)], "grid") for height in heights.values()]
    lines += [_path([place(p) for p in train], "train"), _path([place(p) for p in valid], "valid")]
    words = [_word(y, (0, height), "y", dx="-0.5rem") for y, height in heights.items()]
    words += [_word(f"{x:g}", (place((x, 0))[0], 100), "x", dy="1.2rem") for x in across]
    words += [_dot(place(p), 4.5, "dot") for p in valid if len(valid) <= _MOST_DOTS]
    if best:
        x, y = place(best)
        lines.append(_path([(x, 0), (x, 100)], "best"))
        words.append(_dot((x, y), 7.5, "dot at-best"))
        side, shift = ("flag left", "-0.4rem") if x > 50 else ("flag", "0.4rem")
        words.append(_word(f"best: {best[1]:.3f} at update {best[0]:g}", (x, 0), side, dx=shift))
    drawing = element("svg", *lines, viewBox="0 0 100 100", preserveAspectRatio="none")
    return element("div", element("svg", drawing, *words, role="img", aria_label=label), class_="chart")


def trend(values: Sequence[float | None], label: str) -> Html:
    """A small line over 0..1 through the values that are known, in order."""
    last = max(len(values) - 1, 1)
    points = [(100 * i / last, 100 - 100 * value) for i, value in enumerate(values) if value is not None]
    lines = [_path([(0, 0), (100, 0)], "grid"), _path([(0, 100), (100, 100)], "grid"), _path(thinned(points), "valid")]
    drawing = element("svg", *lines, viewBox="0 0 100 100", preserveAspectRatio="none")
    dots = [_dot(points[-1], 3.5, "dot")] if points else []
    return element("div", element("svg", drawing, *dots, role="img", aria_label=label), class_="chart trend")


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most 400 points, each the mean of equally many neighbours."""
    width = math.ceil(len(points) / _MOST_POINTS) or 1
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers, at least two, the first at most `low` and the last at least `high`."""
    span = high - low if high - low > 1e-6 * abs(high) else abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(magnitude * m for m in (1, 2, 2.5, 5, 10) if magnitude * m * count >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def _rect(x: float, y: float, width: float, height: float, class_: str) -> Html:
    return element("rect", x=float(x), y=float(y), width=float(width), height=float(height), class_=class_)


def _path(points: Sequence[Point], class_: str) -> Html:
    return element("path", d="M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) if points else "M0 0", class_=class_)


def _stretched(class_: str, box: str, *shapes: Html) -> Html:
    return element("svg", *shapes, class_=class_, viewBox=box, preserveAspectRatio="none", aria_hidden="true")


def _word(words: str, place: Point, class_: str, dx: str | None = None, dy: str | None = None) -> Html:
    return element("text", words, x=f"{place[0]:.2f}%", y=f"{place[1]:.2f}%", dx=dx, dy=dy, class_=class_)


def _dot(place: Point, radius: float, class_: str) -> Html:
    return element("circle", cx=f"{place[0]:.2f}%", cy=f"{place[1]:.2f}%", r=radius, class_=class_)
