"""The scores of every category after every promoted phase, and what they say about learning and forgetting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from topcoat.store.records import EvalResult, Record

__all__ = ["MatrixRow", "ScoreMatrix", "Stage", "score_matrix"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A model on the way from the root: what its phase taught, and its evaluation if it has one."""

    model: str
    phase: str | None
    taught: Sequence[str]
    scores: EvalResult | None


class MatrixRow(Record):
    """A model's mean of each column's category; None where it wasn't measured on the matrix's suite."""

    model: str
    phase: str | None
    scores: list[float | None]


class ScoreMatrix(Record):
    """R[i, j]: the mean of category j after promoted phase i; row 0 is the root, before any phase. T is the last row.

    `taught` has, for each column, the last row whose phase taught the category, and 0 if none did: the root brought it.
    Means over categories leave out those that lack a score they need; a figure is None if no category is left.

    - `average` (ACC): the mean of R[T, j] over all j. Lopez-Paz and Ranzato (2017), Gradient episodic memory for
      continual learning, NeurIPS 30, equation 2.
    - `backward_transfer` (BWT): the mean of R[T, j] - R[t_j, j], where t_j is `taught`, over the j with t_j < T: what
      later phases did to what was known. Equation 3 there; a category counts from the last phase that taught it, as
      one task may come again here.
    - `forward_transfer` (FWT): the mean of R[f_j - 1, j] - R[0, j], where f_j is the first row that taught j, over the
      j with f_j >= 2: what earlier phases did for what was not yet taught. Equation 4 there, with the root's score in
      place of a random model's.
    - `forgetting`: the mean of max over i < T of R[i, j], less R[T, j], over the same j as backward transfer. Chaudhry,
      Dokania, Ajanthan and Torr (2018), Riemannian walk for incremental learning, ECCV, equation 3. Negative if
      everything is better than ever.
    """

    version: Literal[1] = 1
    columns: list[str]
    rows: list[MatrixRow]
    taught: list[int]
    average: float | None
    backward_transfer: float | None
    forward_transfer: float | None
    forgetting: float | None


def score_matrix(stages: Sequence[Stage]) -> ScoreMatrix | None:
    """The matrix of `stages`, from the root on; None if none of them has scores.

    The columns are the categories of the last evaluation. What was measured on another suite is left out: its means
    can't be compared.
    """
    measured = [stage.scores for stage in stages if stage.scores]
    if not measured:
        return None
    suite, columns = measured[-1].suite_digest, [category.category for category in measured[-1].categories]
    rows = [_row(stage, suite, columns) for stage in stages]
    taught = [[i for i, stage in enumerate(stages) if i > 0 and name in stage.taught] for name in columns]
    last = len(rows) - 1
    cells = [[row.scores[j] for row in rows] for j in range(len(columns))]
    known = [(column, rows_[-1] if rows_ else 0) for column, rows_ in zip(cells, taught, strict=True)]
    old = [(column, row) for column, row in known if row < last]
    later = [(column, rows_[0]) for column, rows_ in zip(cells, taught, strict=True) if rows_ and rows_[0] >= 2]
    return ScoreMatrix(
        columns=columns,
        rows=rows,
        taught=[row for _, row in known],
        average=_mean(column[last] for column in cells),
        backward_transfer=_mean(_less(column[last], column[row]) for column, row in old),
        forward_transfer=_mean(_less(column[first - 1], column[0]) for column, first in later),
        forgetting=_mean(_less(_best(column[:last]), column[last]) for column, _ in old),
    )


def _row(stage: Stage, suite: str, columns: Sequence[str]) -> MatrixRow:
    means: Mapping[str, float] = {}
    if stage.scores and stage.scores.suite_digest == suite:
        means = {category.category: category.mean for category in stage.scores.categories}
    return MatrixRow(model=stage.model, phase=stage.phase, scores=[means.get(name) for name in columns])


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _best(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
