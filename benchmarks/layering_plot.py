"""The picture of docs/layering.md: survival and validation loss after each phase, as one SVG file.

It brings its own background and both colour schemes, since a page that shows it as an image lends it neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from topcoat.report.chart import Point, ticks
from topcoat.report.html import Html, element

__all__ = ["draw"]

WIDTH, HEIGHT = 760, 372
PANEL_WIDTH, TOP, BOTTOM = 300, 104, 318
LEFTS = (58, 438)
STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
.paper { fill: #faf9f6; } .grid { stroke: #e3e0d9; }
text { fill: #5c6169; } .title { fill: #22252a; font-weight: 600; font-size: 14px; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; } .unfused { stroke-width: 1.5; stroke-dasharray: 4 4; }
.topcoat { stroke: #0d6e68; } .mlx_lm { stroke: #a8321f; }
circle.topcoat { fill: #0d6e68; } circle.mlx_lm { fill: #a8321f; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #16181b; } .grid { stroke: #33373d; }
  text { fill: #a3a9b1; } .title { fill: #e4e5e7; }
  .topcoat { stroke: #55bdb3; } .mlx_lm { stroke: #f09a86; }
  circle.topcoat { fill: #55bdb3; } circle.mlx_lm { fill: #f09a86; }
}
"""


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """The whole file. `rows` are the embedded model's phases, one a coat."""
    sides = {"topcoat": "topcoat", "mlx_lm": "mlx_lm fuse"}
    survival = {side: [(0.0, 1.0), *((row["coats"], row[side]) for row in rows)] for side in sides}
    fused = {side: [(row["coats"], row[f"{side}_loss"]) for row in rows] for side in sides}
    unfused = {side: [(row["coats"], row[f"{side}_unfused"]) for row in rows] for side in sides}
    highest = max(y for points in (*fused.values(), *unfused.values()) for _, y in points)
    legend: list[Html] = []
    for index, (side, name) in enumerate(sides.items()):
        x = LEFTS[0] + 118.0 * index
        legend += [_line([(x, 28.0), (x + 22.0, 28.0)], side), _words(x + 29.0, 32.5, name)]
    x = LEFTS[1] + 0.0
    legend += [_line([(x, 28.0), (x + 22.0, 28.0)], "topcoat"), _words(x + 29.0, 32.5, "after fusing")]
    legend += [
        _line([(x + 130.0, 28.0), (x + 152.0, 28.0)], "topcoat unfused"),
        _words(x + 159.0, 32.5, "before fusing"),
    ]
    last = rows[-1]
    told = (
        f"After {last['coats']} phases {last['topcoat']:.3f} of what was learned survives with topcoat, "
        f"{last['mlx_lm']:.3f} with mlx_lm fuse; the validation loss is {last['topcoat_loss']:.3f} and "
        f"{last['mlx_lm_loss']:.3f}."
    )
    drawing = element(
        "svg",
        element("title", told),
        element("style", Html(STYLE)),
        element("rect", width=float(WIDTH), height=float(HEIGHT), rx=6.0, class_="paper"),
        *legend,
        *_panel(LEFTS[0], "Survival of all deltas so far", survival, {}, (0.0, 1.0)),
        *_panel(LEFTS[1], "Validation loss, nats per token", fused, unfused, (0.0, highest)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
    return f"{drawing}\n"


def _panel(
    left: float,
    title: str,
    fused: dict[str, list[Point]],
    unfused: dict[str, list[Point]],
    span: tuple[float, float],
) -> list[Html]:
    """One pair of axes with a line and its dots for each side."""
    upward = ticks(*span, 5)
    coats = [x for x, _ in next(iter(fused.values()))]

    def place(point: Point) -> Point:
        height = (point[1] - upward[0]) / (upward[-1] - upward[0])
        across = (point[0] - coats[0]) / (coats[-1] - coats[0])
        return left + PANEL_WIDTH * across, BOTTOM - (BOTTOM - TOP) * height

    shapes = [_words(left, TOP - 22.0, title, class_="title")]
    for y in upward:
        level = place((coats[0], y))[1]
        shapes.append(_line([(left, level), (left + PANEL_WIDTH, level)], "grid", plain=True))
        shapes.append(_words(left - 8.0, level + 4.5, f"{y:g}", text_anchor="end"))
    for x in coats:
        shapes.append(_words(place((x, 0.0))[0], BOTTOM + 20.0, f"{x:g}", text_anchor="middle"))
    shapes.append(_words(left + PANEL_WIDTH / 2, BOTTOM + 42.0, "phases", text_anchor="middle"))
    shapes += [_line([place(p) for p in points], f"{side} unfused") for side, points in unfused.items()]
    for side, points in fused.items():
        shapes.append(_line([place(p) for p in points], side))
        shapes += [element("circle", cx=place(p)[0], cy=place(p)[1], r=3.5, class_=side) for p in points]
    return shapes


def _line(points: Sequence[Point], class_: str, *, plain: bool = False) -> Html:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=path, class_=class_ if plain else f"line {class_}")


def _words(x: float, y: float, words: str, **attributes: str) -> Html:
    return element("text", words, x=float(f"{x:.1f}"), y=float(f"{y:.1f}"), **attributes)
