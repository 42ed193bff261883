"""Pictures of lines in panels, as one SVG file. benchmarks' pages show them as images.

They bring their own background and both colour schemes, since a page that shows one as an image lends it neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topcoat.report.chart import Point, ticks
from topcoat.report.html import Html, element

__all__ = ["LEFTS", "line", "panel", "picture", "words"]

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


def picture(told: str, shapes: Sequence[Html]) -> str:
    """The whole file. `told` says in words what it shows."""
    drawing = element(
        "svg",
        element("title", told),
        element("style", Html(STYLE)),
        element("rect", width=float(WIDTH), height=float(HEIGHT), rx=6.0, class_="paper"),
        *shapes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
    return f"{drawing}\n"


def panel(
    left: float,
    title: str,
    solid: Mapping[str, Sequence[Point]],
    dashed: Mapping[str, Sequence[Point]],
    span: tuple[float, float],
    below: str,
) -> list[Html]:
    """One pair of axes with a line and its dots for each side, and thin dashed lines. `below` names what is across.

    The first solid line has every place across.
    """
    upward = ticks(*span, 5)
    coats = [x for x, _ in next(iter(solid.values()))]

    def place(point: Point) -> Point:
        height = (point[1] - upward[0]) / (upward[-1] - upward[0])
        across = (point[0] - coats[0]) / (coats[-1] - coats[0])
        return left + PANEL_WIDTH * across, BOTTOM - (BOTTOM - TOP) * height

    shapes = [words(left, TOP - 22.0, title, class_="title")]
    for y in upward:
        level = place((coats[0], y))[1]
        shapes.append(line([(left, level), (left + PANEL_WIDTH, level)], "grid", plain=True))
        shapes.append(words(left - 8.0, level + 4.5, f"{y:g}", text_anchor="end"))
    for x in coats:
        shapes.append(words(place((x, 0.0))[0], BOTTOM + 20.0, f"{x:g}", text_anchor="middle"))
    shapes.append(words(left + PANEL_WIDTH / 2, BOTTOM + 42.0, below, text_anchor="middle"))
    shapes += [line([place(p) for p in points], f"{side} unfused") for side, points in dashed.items()]
    for side, points in solid.items():
        shapes.append(line([place(p) for p in points], side))
        shapes += [element("circle", cx=place(p)[0], cy=place(p)[1], r=3.5, class_=side) for p in points]
    return shapes


def line(points: Sequence[Point], class_: str, *, plain: bool = False) -> Html:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=path, class_=class_ if plain else f"line {class_}")


def words(x: float, y: float, said: str, **attributes: str) -> Html:
    return element("text", said, x=float(f"{x:.1f}"), y=float(f"{y:.1f}"), **attributes)
