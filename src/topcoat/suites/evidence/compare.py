"""Compares two evaluations case by case. Both asked the same questions, so the differences are paired."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from topcoat.store.records import (
    AttemptResult,
    Call,
    CategoryScore,
    EvalResult,
    Evidence,
    GateCheck,
    GuardFinding,
    Interval,
    Record,
    Score,
)
from topcoat.suites.evidence.statistics import Pairs, interval, weigh

__all__ = ["CaseChange", "CategoryChange", "Comparison", "compare", "compare_attempt", "interval_of"]

Kind = Literal["better", "worse", "same"]

_EPSILON = 1e-9
"""Two sums of the same scores can differ by this much in their last bits."""


class CategoryChange(Record):
    """A category's mean before and after, over `n` cases. A mean is None if its evaluation lacks the category.

    The intervals are the means', at 95%. `evidence` is None for the headline, which repeats the categories' cases, and
    if the evaluations can't be paired.
    """

    category: str
    n: int
    before: float | None
    after: float | None
    delta: float | None
    better: int
    worse: int
    before_interval: Interval | None = None
    after_interval: Interval | None = None
    evidence: Evidence | None = None


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
    only one evaluation has; no difference counts them. From a base to its attempt, `checks` are those of the gate, and
    `guard` is what its guard cases showed.
    """

    version: Literal[1] = 1
    before: str
    after: str
    same_suite: bool
    categories: list[CategoryChange]
    headline: CategoryChange | None
    changed: list[CaseChange]
    unpaired: list[str]
    checks: list[GateCheck] = Field(default_factory=list)
    guard: list[GuardFinding] = Field(default_factory=list)

    @property
    def better(self) -> list[CaseChange]:
        """The cases that score higher."""
        return [change for change in self.changed if change.kind == "better"]

    @property
    def worse(self) -> list[CaseChange]:
        """The cases that score lower."""
        return [change for change in self.changed if change.kind == "worse"]


def compare(before: EvalResult, after: EvalResult, blocked: Collection[str] = ()) -> Comparison:
    """The changes from `before` to `after`, and the evidence for them.

    `blocked` are categories whose fall a gate would block. Such a fall is at least suspected.
    """
    old = {score.case_id: score for score in before.scores}
    new = {score.case_id: score for score in after.scores}
    pairs = [_change(old[case_id], new[case_id]) for case_id in old if case_id in new]
    same_suite = before.suite_digest == after.suite_digest
    # A case of another suite may have the same id and ask something else.
    evidence = weigh(_paired(pairs, after), blocked) if same_suite else {}
    names = dict.fromkeys(c.category for c in [*before.categories, *after.categories])
    return Comparison(
        before=before.model,
        after=after.model,
        same_suite=same_suite,
        categories=[
            _category(
                (before.category(name), [score for score in before.scores if score.category == name]),
                (after.category(name), [score for score in after.scores if score.category == name]),
                [pair for pair in pairs if pair.category == name],
                evidence.get(name),
            )
            for name in names
        ],
        headline=_category(
            (before.headline, [score for score in before.scores if score.headline]),
            (after.headline, [score for score in after.scores if score.headline]),
            [pair for pair in pairs if pair.before.headline],
        )
        if before.headline or after.headline
        else None,
        changed=[pair for pair in pairs if pair.kind != "same" or pair.before.answer != pair.after.answer],
        unpaired=[case_id for case_id in {**old, **new} if (case_id in old) != (case_id in new)],
    )


def compare_attempt(result: AttemptResult, *, turned: bool = False) -> Comparison | None:
    """The changes from an attempt's base to its model, with the evidence and the guard cases that its gate judged.

    `turned`: from the model to its base. None if the attempt ended before it had scores.
    """
    if result.after is None:
        return None
    one, other = (result.after, result.before) if turned else (result.before, result.after)
    found = compare(one, other, result.verdict.falls)
    # The verdicts of topcoat 0.1 have no evidence of their own. Their evaluations hold the reserve cases instead.
    judged = {evidence.category: _turned(evidence) if turned else evidence for evidence in result.verdict.evidence}
    categories = [
        change.model_copy(update={"evidence": judged.get(change.category, change.evidence)})
        for change in found.categories
    ]
    checks = [] if turned else result.verdict.checks
    guard = [] if turned else result.verdict.guard
    return found.model_copy(update={"categories": categories, "checks": checks, "guard": guard})


def _turned(evidence: Evidence) -> Evidence:
    """The evidence for the opposite change. The test is two-sided."""
    opposite: dict[Call, Call] = {"confirmed better": "confirmed worse", "confirmed worse": "confirmed better"}
    return evidence.model_copy(update={"call": opposite.get(evidence.call, evidence.call)})


def _change(before: Score, after: Score) -> CaseChange:
    delta = after.value - before.value
    kind: Kind = "better" if delta > _EPSILON else "worse" if delta < -_EPSILON else "same"
    return CaseChange(case_id=after.case_id, category=after.category, kind=kind, before=before, after=after)


def _paired(pairs: list[CaseChange], after: EvalResult) -> dict[str, Pairs]:
    """The pairs of each category that has any."""
    found = {}
    for name in dict.fromkeys(pair.category for pair in pairs):
        own = [pair for pair in pairs if pair.category == name]
        category = after.category(name)
        found[name] = Pairs(
            before=np.array([pair.before.value for pair in own]),
            after=np.array([pair.after.value for pair in own]),
            families=[_family(pair.after) for pair in own],
            looks=2 if category and category.reserve else 1,
        )
    return found


def _family(score: Score) -> str:
    return score.family or score.case_id


def _category(
    before: tuple[CategoryScore | None, list[Score]],
    after: tuple[CategoryScore | None, list[Score]],
    pairs: list[CaseChange],
    evidence: Evidence | None = None,
) -> CategoryChange:
    """The change of a category. Each side is its score and its cases' scores; at least one side exists."""
    old, new = before[0], after[0]
    known = new or old
    assert known is not None
    delta = new.mean - old.mean if old and new else None
    return CategoryChange(
        category=known.category,
        n=known.n,
        before=old.mean if old else None,
        after=new.mean if new else None,
        delta=0.0 if delta is not None and abs(delta) < _EPSILON else delta,
        better=sum(pair.kind == "better" for pair in pairs),
        worse=sum(pair.kind == "worse" for pair in pairs),
        before_interval=interval_of(before[1]) if old else None,
        after_interval=interval_of(after[1]) if new else None,
        evidence=evidence,
    )


def interval_of(scores: Sequence[Score]) -> Interval | None:
    """The 95% interval of the scores' mean. None if there are no scores."""
    return interval([s.value for s in scores], [_family(s) for s in scores]) if scores else None
