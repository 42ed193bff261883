"""The picture of docs/layering.md: survival and validation loss after each phase, as one SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.panels import LEFTS, line, panel, picture, words
from topcoat.report.html import Html

__all__ = ["draw"]


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
        legend += [line([(x, 28.0), (x + 22.0, 28.0)], side), words(x + 29.0, 32.5, name)]
    x = LEFTS[1] + 0.0
    legend += [line([(x, 28.0), (x + 22.0, 28.0)], "topcoat"), words(x + 29.0, 32.5, "after fusing")]
    legend += [
        line([(x + 130.0, 28.0), (x + 152.0, 28.0)], "topcoat unfused"),
        words(x + 159.0, 32.5, "before fusing"),
    ]
    last = rows[-1]
    told = (
        f"After {last['coats']} phases {last['topcoat']:.3f} of what was learned survives with topcoat, "
        f"{last['mlx_lm']:.3f} with mlx_lm fuse; the validation loss is {last['topcoat_loss']:.3f} and "
        f"{last['mlx_lm_loss']:.3f}."
    )
    shapes = [
        *legend,
        *panel(LEFTS[0], "Survival of all deltas so far", survival, {}, (0.0, 1.0), "phases"),
        *panel(LEFTS[1], "Validation loss, nats per token", fused, unfused, (0.0, highest), "phases"),
    ]
    return picture(told, shapes)
