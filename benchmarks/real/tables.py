"""What the page shows, as tables: figures of stages in, Markdown out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, Literal

from benchmarks.real.split import CATEGORIES

__all__ = [
    "HEADLINE",
    "NO_CALL",
    "Checker",
    "Scores",
    "backward",
    "differing",
    "macro",
    "percent",
    "score_row",
    "table",
]

Scores = Mapping[str, Mapping[str, int]]
"""By category: the cases, and how many are right by each checker."""
Checker = Literal["leaderboard", "topcoat"]

HEADLINE = CATEGORIES[:5]
"""The categories that aren't live, whose mean is the headline."""
NO_CALL = "irrelevance"


def percent(share: float) -> str:
    return f"{100 * share:.0f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def macro(scores: Scores, checker: Checker) -> float:
    """The mean over the headline's categories."""
    return mean(scores[name][checker] / scores[name]["n"] for name in HEADLINE)


def score_row(name: str, scores: Scores, checker: Checker) -> list[str]:
    """A model's right answers by category, and the mean over those of the headline in percent."""
    cells = [f"{scores[category][checker]} of {scores[category]['n']}" for category in CATEGORIES]
    return [name, *cells, percent(macro(scores, checker))]


def backward(steps: Sequence[tuple[Sequence[str], Scores]]) -> float | None:
    """Backward transfer: what categories lost or won after the coats that aimed at them, in points.

    `steps` are the promoted coats: what each aimed at, and the scores after it. For each category that a coat but the
    last aimed at, the score at the end minus that after the coat, by the leaderboard's checker; of these the mean
    (Lopez-Paz and Ranzato 2017). None with fewer than two coats.
    """
    if len(steps) < 2:
        return None
    end = steps[-1][1]
    changes = [_share(end, category) - _share(scores, category) for aims, scores in steps[:-1] for category in aims]
    return 100 * mean(changes)


def _share(scores: Scores, category: str) -> float:
    return scores[category]["leaderboard"] / scores[category]["n"]


def differing(models: Mapping[str, Any]) -> int:
    """By how many right answers the checkers differ, over all models and categories."""
    return sum(
        abs(row["leaderboard"] - row["topcoat"]) for found in models.values() for row in found["scores"].values()
    )
