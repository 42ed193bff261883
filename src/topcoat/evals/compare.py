"""Compares two evaluations, case by case: the same questions were asked, so the differences are paired."""

from __future__ import annotations

from typing import Literal

from topcoat.records import CategoryScore, EvalResult, Record, Score

__all__ = ["CaseChange", "CategoryChange", "Comparison", "compare"]

Kind = Literal["better", "worse", "same"]

_EPSILON = 1e-9
"""Two sums of the same scores can differ by this much in their last bits."""


class CategoryChange(Record):
    """A category's mean before and after, over `n` cases; None where an evaluation doesn't have it."""

    category: str
    n: int
    before: float | None
    after: float | None
    delta: float | None
    better: int
    worse: int


class CaseChange(Record):
    """A case whose score or answer differs."""

    case_id: str
    category: str
    kind: Kind
    before: Score
    after: Score


class Comparison(Record):
    """What changed between two evaluations.

    `changed` are the cases with another score or another answer, in the order of the suite. `unpaired` are ids that
    only one of the two has: they count in no difference.
    """

    version: Literal[1] = 1
    before: str
    after: str
    same_suite: bool
    categories: list[CategoryChange]
    headline: CategoryChange | None
    changed: list[CaseChange]
    unpaired: list[str]

    @property
    def better(self) -> list[CaseChange]:
        """The cases that score higher."""
        return [change for change in self.changed if change.kind == "better"]

    @property
    def worse(self) -> list[CaseChange]:
        """The cases that score lower."""
        return [change for change in self.changed if change.kind == "worse"]


def compare(before: EvalResult, after: EvalResult) -> Comparison:
    """What changed from `before` to `after`."""
    old = {score.case_id: score for score in before.scores}
    new = {score.case_id: score for score in after.scores}
    pairs = [_change(old[case_id], new[case_id]) for case_id in old if case_id in new]
    names = dict.fromkeys(c.category for c in [*before.categories, *after.categories])
    headline = None
    if before.headline or after.headline:
        headline = _category("headline", before.headline, after.headline, [p for p in pairs if p.before.headline])
    return Comparison(
        before=before.model,
        after=after.model,
        same_suite=before.suite_digest == after.suite_digest,
        categories=[
            _category(name, before.category(name), after.category(name), [p for p in pairs if p.category == name])
            for name in names
        ],
        headline=headline,
        changed=[pair for pair in pairs if pair.kind != "same" or pair.before.answer != pair.after.answer],
        unpaired=[case_id for case_id in {**old, **new} if (case_id in old) != (case_id in new)],
    )


def _change(before: Score, after: Score) -> CaseChange:
    delta = after.value - before.value
    kind: Kind = "better" if delta > _EPSILON else "worse" if delta < -_EPSILON else "same"
    return CaseChange(case_id=after.case_id, category=after.category, kind=kind, before=before, after=after)


def _category(
    name: str, before: CategoryScore | None, after: CategoryScore | None, pairs: list[CaseChange]
) -> CategoryChange:
    delta = after.mean - before.mean if before and after else None
    return CategoryChange(
        category=name,
        n=after.n if after else before.n if before else 0,
        before=before.mean if before else None,
        after=after.mean if after else None,
        delta=0.0 if delta is not None and abs(delta) < _EPSILON else delta,
        better=sum(pair.kind == "better" for pair in pairs),
        worse=sum(pair.kind == "worse" for pair in pairs),
    )
