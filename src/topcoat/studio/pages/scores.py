"""The score matrix: every category after every promoted phase, as a table whose cells are shaded."""

from __future__ import annotations

from topcoat.report.chart import trend
from topcoat.studio.asked import Asked, NotThere, Page
from topcoat.studio.site import Site

__all__ = ["scores"]

_SHADES = 10


def scores(site: Site, asked: Asked) -> Page:
    """The matrix up to a model, production if none is asked for, the latest row first."""
    with site.project() as (_, history):
        model = asked.query.get("model") or history.production or ""
        if model and model not in history.models:
            raise NotThere(f'no model is called "{model}"', hint="the lineage lists all models")
        matrix = history.matrix(model) if model else None
        states = {name: history.origin(row) for name, row in history.models.items()}
    trends = []
    if matrix:
        for column, name in enumerate(matrix.columns):
            values = [row.scores[column] for row in matrix.rows]
            trends.append((name, trend(values, f"{name} after each phase"), values[-1]))
    shown = {
        "title": "Scores",
        "place": "scores",
        "model": model,
        "matrix": matrix,
        "trends": trends,
        "runs": states,
        "rows": [*enumerate(matrix.rows)][::-1] if matrix else [],
        "shade": _shade,
    }
    return Page("scores.html", shown)


def _shade(score: float | None) -> str:
    """The class of a cell: the higher the score, the darker."""
    return "" if score is None else f"shade-{min(_SHADES - 1, int(score * _SHADES))}"
