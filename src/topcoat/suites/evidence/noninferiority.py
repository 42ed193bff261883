"""Whether a category fell by less than a margin, and whether it reached its target, at one look of several.

A test of non-inferiority shows that a fall is smaller than a margin. That a fall isn't shown to be above 0 is no such
evidence: it may be due to too few cases (Altman and Bland 1995, Absence of evidence is not evidence of absence, BMJ
311, 485). Each look tests both sides, "smaller than the margin" and "larger than the margin", and the sample grows
until one is shown (`looks` plans the looks and their levels).

**The fall** is the mean of before - after over all cases drawn, also those that the base answers wrongly. With only
those that it answers rightly, every answer that changes would count as a fall, and none as a gain. A coat that
changes 5% of the answers both ways would seem to have lost about 3 points.

**The end of the budget.** What no look decided over families is decided over cases (`bounds` says what that means),
because the number of families doesn't grow with the cases. A category fell if its fall is shown to be larger than the
margin there. It is kept if two things hold: the mean fall is at most the margin, and a fall of twice the margin is
excluded. Otherwise it remains undecided, and an undecided category doesn't pass. So a fall of twice the margin passes
with a chance of alpha at most, and a fall between the two may pass.

Several categories need no adjustment: a coat passes only if every category does, so its chance to pass with a fall in
one of them is at most alpha (Berger 1982, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24,
295-300). Numbers: docs/gate.md, made by benchmarks/gate_errors.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from topcoat.store.records import GuardFinding, Interval
from topcoat.suites.evidence.bounds import change_bounds, family_bounds, mean_bounds
from topcoat.suites.evidence.looks import Look
from topcoat.suites.evidence.statistics import Pairs

__all__ = [
    "ENDS_AT",
    "FallTest",
    "TargetTest",
    "can_be_kept",
    "fewest_cases",
    "is_open",
    "judge_category",
    "judge_fall",
    "judge_target",
]

ENDS_AT = 2.0
"""The multiple of the margin that the last look must exclude, if no look decided."""

_EPSILON = 1e-9
"""Means are sums of floats. A difference smaller than this is rounding."""


@dataclass(frozen=True, slots=True)
class FallTest:
    """What one look shows of a category's fall, a mean of before - after in -1..1; a gain is negative.

    `over_families` and `over_cases` are its bounds, each wrong with a chance of the look's level. `decision` is
    "undecided" as long as another look may decide it. `within` is the fall that the decision excludes, if it is "kept";
    `basis` says over what the decision was made.
    """

    n: int
    families: int
    before: float
    after: float
    fall: float
    over_families: Interval
    over_cases: Interval
    decision: Literal["kept", "fell", "undecided"]
    within: float | None
    basis: Literal["families", "cases"]


@dataclass(frozen=True, slots=True)
class TargetTest:
    """What one look shows of a category's mean score after the phase, with bounds as in `FallTest`."""

    n: int
    families: int
    mean: float
    over_families: Interval
    over_cases: Interval
    decision: Literal["reached", "missed", "undecided"]
    basis: Literal["families", "cases"]


def judge_fall(pairs: Pairs, margin: float, look: Look, *, last: bool) -> FallTest:
    """Whether the category of `pairs` fell by less than `margin` (0..1). `last`: no more cases can be drawn.

    The last look may spend what is left of alpha. Raises ValueError if there are no cases.
    """
    level = look.rest if last else look.level
    falls = pairs.before - pairs.after
    n = len(falls)
    over_cases = change_bounds(float(falls[falls > 0].sum()), float(-falls[falls < 0].sum()), n, level)
    over_families = family_bounds(falls, pairs.families, level, over_cases)
    fall = float(falls.mean())
    decision: Literal["kept", "fell", "undecided"] = "undecided"
    basis: Literal["families", "cases"] = "families"
    within = None
    if over_families[1] <= margin:
        decision, within = "kept", margin
    elif over_families[0] > margin:
        decision = "fell"
    elif last:
        basis = "cases"
        limit = margin if over_cases[1] <= margin else ENDS_AT * margin
        if fall <= margin + _EPSILON and over_cases[1] <= limit:
            decision, within = "kept", limit
        elif over_cases[0] > margin:
            decision = "fell"
    return FallTest(
        n=n,
        families=len(set(pairs.families)),
        before=float(pairs.before.mean()),
        after=float(pairs.after.mean()),
        fall=fall,
        over_families=over_families,
        over_cases=over_cases,
        decision=decision,
        within=within,
        basis=basis,
    )


def judge_target(pairs: Pairs, target: float, look: Look, *, last: bool) -> TargetTest:
    """Whether the mean after the phase reaches `target` (0..1). Its lower bound must. `last`: as in `judge_fall`.

    The last look decides over cases what is undecided over families. Raises ValueError if there are no cases.
    """
    level = look.rest if last else look.level
    mean = float(pairs.after.mean())
    over_cases = mean_bounds(mean, len(pairs.after), level)
    over_families = family_bounds(pairs.after, pairs.families, level, over_cases)
    decision, basis = _reached(over_families, target), "families"
    if last and decision == "undecided":
        decision, basis = _reached(over_cases, target), "cases"
    return TargetTest(
        n=len(pairs.after),
        families=len(set(pairs.families)),
        mean=mean,
        over_families=over_families,
        over_cases=over_cases,
        decision=decision,
        basis="cases" if basis == "cases" else "families",
    )


def _reached(bounds: Interval, target: float) -> Literal["reached", "missed", "undecided"]:
    if bounds[0] >= target - _EPSILON:
        return "reached"
    return "missed" if bounds[1] < target - _EPSILON else "undecided"


def judge_category(
    category: str, pairs: Pairs, look: Look, *, margin: float, alpha: float, last: bool, target: float | None = None
) -> GuardFinding:
    """The record of a category's tests at `look`: its fall and, if it has a `target`, its mean after the phase.

    `last`: as in `judge_fall`. Raises ValueError if there are no cases.
    """
    found = judge_fall(pairs, margin, look, last=last)
    reached = None if target is None else judge_target(pairs, target, look, last=last)
    return GuardFinding(
        category=category,
        cases=found.n,
        families=found.families,
        looks=look.number,
        planned=look.of,
        before=found.before,
        after=found.after,
        fall=found.fall,
        over_families=found.over_families if found.families > 1 else None,
        over_cases=found.over_cases,
        margin=margin,
        alpha=alpha,
        decision=found.decision,
        within=found.within,
        basis=found.basis,
        target=target,
        target_decision=reached.decision if reached else None,
        after_bounds=_after_bounds(reached) if reached else None,
    )


def _after_bounds(found: TargetTest) -> Interval:
    """The bounds that decided, within 0..1."""
    low, high = found.over_cases if found.basis == "cases" else found.over_families
    return max(0.0, low), min(1.0, high)


def is_open(finding: GuardFinding, *, may_fall: bool) -> bool:
    """Whether more cases can decide something that the gate asks. `may_fall`: the gate lets this category fall."""
    return finding.target_decision == "undecided" or (finding.decision == "undecided" and not may_fall)


def can_be_kept(looks: Sequence[Look], margin: float) -> bool:
    """Whether these looks can show that a category kept within `margin`, if no answer changes at all."""
    return any(
        change_bounds(0.0, 0.0, look.cases, look.level)[1] <= (ENDS_AT * margin if look.planned_last else margin)
        for look in looks
    )


def fewest_cases(margin: float, alpha: float) -> int:
    """The fewest cases with which a category can be kept at a single look, if no answer changes at all.

    Raises ValueError if no number of cases is enough: a margin of 0 can't be shown.
    """
    if margin <= 0:
        raise ValueError("no number of cases shows that nothing fell at all")
    n = 1
    while change_bounds(0.0, 0.0, n, alpha)[1] > ENDS_AT * margin and ENDS_AT * margin < 1:
        n += 1
    return n
