"""The score matrix: every category after every promoted phase, with figures of learning and forgetting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from topcoat.store.records import CategoryScore, Record

__all__ = ["MatrixRow", "Means", "ScoreMatrix", "Stage", "score_matrix"]


class Means(Protocol):
    """An evaluation, as far as the matrix needs it."""

    @property
    def suite_digest(self) -> str: ...

    @property
    def categories(self) -> Sequence[CategoryScore]: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """A model between the root and production: what its phase taught, and its evaluation if it has one."""

    model: str
    phase: str | None
    taught: Sequence[str]
    scores: Means | None


class MatrixRow(Record):
    """A model's mean of each column's category. None if it wasn't measured on the matrix's suite."""

    model: str
    phase: str | None
    scores: list[float | None]


class ScoreMatrix(Record):
    """R[i, j]: the mean of category j after promoted phase i. Row 0 is the root, before any phase. T is the last row.

    `taught` has, for each column, the last row whose phase taught the category, or 0 if only the root knew it. Means
    over categories leave out those without a necessary score. A figure is None if no category is left.

    - `average` (ACC): the mean of R[T, j] over all j. Lopez-Paz and Ranzato (2017), Gradient episodic memory for
      continual learning, NeurIPS 30, equation 2.
    - `backward_transfer` (BWT): the mean of R[T, j] - R[t_j, j], where t_j is `taught`, over the j with t_j < T: the
      effect of later phases on known categories. Equation 3 there. A category counts from the last phase that taught
      it, because phases may teach a category again.
    - `forward_transfer` (FWT): the mean of R[f_j - 1, j] - R[0, j], where f_j is the first row that taught j, over the
      j with f_j >= 2: the effect of earlier phases on categories not yet taught. Equation 4 there, with the root's
      score instead of a random model's.
    - `forgetting`: the mean of max over i < T of R[i, j], less R[T, j], over the same j as backward transfer. Chaudhry,
      Dokania, Ajanthan and Torr (2018), Riemannian walk for incremental learning, ECCV, equation 3. Negative if every
      category is better than ever.
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
    """The matrix of `stages`, beginning with the root. None if no stage has scores.

    The columns are the categories of the last evaluation. Evaluations on another suite are left out, because their
    means can't be compared.
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
    return math.fsum(known) / len(known) if known else None


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _best(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
