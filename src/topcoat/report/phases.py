"""The history in a report: the score of every category after every promoted phase."""

from __future__ import annotations

from topcoat.report.html import Html, data_table, element, section
from topcoat.suites.evidence.matrix import ScoreMatrix
from topcoat.suites.evidence.words import percent, points

__all__ = ["matrix_section"]

_CAPTION = "Mean score of each category after each promoted phase; in bold: the last phase that taught the category."


def matrix_section(matrix: ScoreMatrix) -> Html:
    """The score matrix, and the four figures that follow from it."""
    rows = [
        element("tr", element("th", row.model, scope="row"), *_cells(matrix, index))
        for index, row in enumerate(matrix.rows)
    ]
    return section(
        "Phases",
        data_table(_CAPTION, ["After", *matrix.columns], rows, label="Scores after each phase"),
        element(
            "p",
            f"Average {percent(matrix.average)}. "
            f"Backward transfer {points(matrix.backward_transfer)}: what later phases did to what was known. "
            f"Forward transfer {points(matrix.forward_transfer)}: what earlier phases did for what was taught later. "
            f"Forgetting {points(matrix.forgetting)}: the fall from the best score that each category once had.",
        ),
    )


def _cells(matrix: ScoreMatrix, row: int) -> list[Html]:
    cells = []
    for score, taught in zip(matrix.rows[row].scores, matrix.taught, strict=True):
        text = percent(score)
        cells.append(element("td", element("strong", text) if taught == row > 0 else text))
    return cells
