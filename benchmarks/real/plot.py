"""The picture of docs/real-model.md: scores after each coat, beside the naive chain and trainings from the root."""

from __future__ import annotations

from benchmarks.panels import LEFTS, line, panel, picture, words
from benchmarks.real.stages import Figures
from benchmarks.real.tables import NO_CALL, Scores, macro
from topcoat.report.chart import Point

__all__ = ["draw"]

Line = list[tuple[int, Scores]]


def draw(done: Figures) -> str:
    """The whole file; "" before there is a coat."""
    sides = {"topcoat": _production(done), "mlx_lm": _chain(done)}
    sides = {side: points for side, points in sides.items() if len(points) > 1}
    if "topcoat" not in sides:
        return ""
    means = {side: _means(points) for side, points in sides.items()}
    silent = {side: _silent(points) for side, points in sides.items()}
    legend = []
    for index, (side, name) in enumerate((("topcoat", "production of topcoat"), ("mlx_lm", "naive chain of mlx-lm"))):
        x = LEFTS[0] + 210.0 * index
        if side in sides:
            legend += [line([(x, 28.0), (x + 22.0, 28.0)], side), words(x + 29.0, 32.5, name)]
    told = "After each coat, " + "; ".join(
        f"{side}: mean {points[-1][1]:.0f}%, irrelevance {silent[side][-1][1]:.0f}%" for side, points in means.items()
    )
    shapes = [
        *legend,
        *panel(LEFTS[0], "Mean of five categories, %", means, {}, (0.0, 100.0), "coats"),
        *panel(LEFTS[1], "Irrelevance, %", silent, {}, (0.0, 100.0), "coats"),
    ]
    return picture(told, shapes)


def _production(done: Figures) -> Line:
    """The scores of production after each coat: those before, where a coat was discarded."""
    if "root" not in done:
        return []
    points: Line = [(0, done["root"]["scores"])]
    number = 1
    while (found := done.get(f"coat{number}")) is not None:
        points.append((number, found["scores"] if found["promoted"] else points[-1][1]))
        number += 1
    return points


def _chain(done: Figures) -> Line:
    if "root" not in done:
        return []
    points: Line = [(0, done["root"]["scores"])]
    while (found := done.get(f"naive{len(points)}")) is not None:
        points.append((len(points), found["scores"]))
    return points


def _means(points: Line) -> list[Point]:
    return [(float(number), 100 * macro(scores, "leaderboard")) for number, scores in points]


def _silent(points: Line) -> list[Point]:
    rows = [(number, scores[NO_CALL]) for number, scores in points]
    return [(float(number), 100 * row["leaderboard"] / row["n"]) for number, row in rows]
