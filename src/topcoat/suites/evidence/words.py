"""The words and numbers for scores, evidence and verdicts. `run`, `compare`, `status`, `plan` and the page print these.

Scores are percentages, changes are percentage points. A mean is always that of the suite's cases; what guard cases
show stands in rows of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from topcoat.store.records import Evidence, GateCheck, GuardFinding, Interval
from topcoat.suites.evidence.compare import CategoryChange

__all__ = [
    "NONE",
    "CategoryRow",
    "GuardRow",
    "apart",
    "category_row",
    "evidence_in_short",
    "guard_row",
    "interval_words",
    "kept_reason",
    "percent",
    "points",
    "shown_by",
    "target_reason",
]

NONE = "–"
"""What stands where there is no figure."""
_SAME = 5e-4
"""A smaller change rounds to 0.0 points."""


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A category of a comparison, as it is printed. `gate` has each condition, and whether it is met.

    `evidence` is what the cases show, `weight` its p values, `shows` the fall that they could have shown.
    """

    category: str
    n: str
    before: str
    before_interval: str
    after: str
    after_interval: str
    change: str
    evidence: str
    weight: str
    shows: str
    gate: tuple[tuple[bool, str], ...]


@dataclass(frozen=True, slots=True)
class GuardRow:
    """What a category's guard cases show, as it is printed. `bounds` are those of the change, in points."""

    category: str
    cases: str
    before: str
    after: str
    change: str
    bounds: str
    decision: str


def percent(value: float | None) -> str:
    """A score, as 84.0%."""
    return NONE if value is None else f"{100 * value:.1f}%"


def points(change: float | None) -> str:
    """A change of a score in percentage points, as +4.2."""
    if change is None:
        return NONE
    return "0" if abs(change) < _SAME else f"{100 * change:+.1f}"


def interval_words(interval: Interval | None) -> str:
    """An interval of scores, as 58–81%."""
    return NONE if interval is None else f"{100 * interval[0]:.0f}–{100 * interval[1]:.0f}%"


def apart(one: float, other: float) -> tuple[str, str]:
    """Both scores with one decimal, or with as many as make them differ."""
    digits = next((n for n in (1, 4, 7) if f"{100 * one:.{n}f}" != f"{100 * other:.{n}f}"), 1)
    return f"{100 * one:.{digits}f}%", f"{100 * other:.{digits}f}%"


def category_row(change: CategoryChange, checks: Sequence[GateCheck] = ()) -> CategoryRow:
    """The row of a category, with its conditions among `checks`."""
    found = change.evidence
    return CategoryRow(
        category=change.category,
        n=str(change.n),
        before=percent(change.before),
        before_interval=interval_words(change.before_interval),
        after=percent(change.after),
        after_interval=interval_words(change.after_interval),
        change=points(change.delta),
        evidence=found.call if found else NONE,
        weight=_weight(found, change.n) if found else "",
        shows=_shows(found) if found else NONE,
        gate=tuple((check.passed, _condition(check)) for check in checks if check.category == change.category),
    )


def _weight(found: Evidence, n: int) -> str:
    """The p values, and the cases if they are more than the suite's `n`: those of the reserve."""
    reserve = f", {found.pairs} cases" if found.pairs > n else ""
    return f"p {found.p:.2g}, Holm {found.adjusted_p:.2g}{reserve}"


def _shows(found: Evidence) -> str:
    drop = found.detectable_drop
    return "no fall" if drop is None else f"falls ≥ {100 * drop:.0f}"


def shown_by(found: Evidence) -> str:
    """Which fall the cases of a category could have shown."""
    return f"its {found.pairs} cases show {_shows(found)}"


def _condition(check: GateCheck) -> str:
    """What the gate asks for. A row shows the suite's means, so it says where guard cases decided instead."""
    if check.kind == "target":
        return f"≥ {percent(check.required)}" + (f" (guard {percent(check.after)})" if check.decision else "")
    if check.decision:
        return "no fall (guard)"
    tolerated = 0.0 if check.before is None else check.before - check.required
    return f"fall ≤ {100 * tolerated:.1f}" if tolerated > 1e-6 else "no fall"


def evidence_in_short(found: Evidence) -> str:
    """The evidence for a change, in one line."""
    words = f"{found.call}, p {found.p:.2g}, Holm {found.adjusted_p:.2g}"
    return words if found.call == "confirmed worse" else f"{words}; shows {_shows(found)}"


def guard_row(found: GuardFinding) -> GuardRow:
    """The row of a category's guard cases. A change and its bounds are after - before."""
    low, high = _bounds(found)
    return GuardRow(
        category=found.category,
        cases=f"{found.cases} of {_families(found.families)}",
        before=percent(found.before),
        after=percent(found.after),
        change=points(-found.fall),
        bounds=f"{points(-high)} to {points(-low)}",
        decision=", ".join(filter(None, (_target_decision(found), _decision(found)))),
    )


def _bounds(found: GuardFinding) -> tuple[float, float]:
    """The bounds of the fall that decided."""
    return found.over_cases if found.basis == "cases" or found.over_families is None else found.over_families


def _decision(found: GuardFinding) -> str:
    if found.decision == "kept":
        return f"kept within {_margin(found.within or found.margin)}"
    return f"fell by more than {_margin(found.margin)}" if found.decision == "fell" else "undecided"


def _target_decision(found: GuardFinding) -> str:
    if found.target is None or found.target_decision is None:
        return ""
    return f"{percent(found.target)} {found.target_decision}"


def _families(number: int) -> str:
    return "1 family" if number == 1 else f"{number} families"


def _margin(value: float) -> str:
    """A margin in points, as 3 or 2.5."""
    return f"{100 * value:.3g}"


def kept_reason(found: GuardFinding) -> str:
    """What guard cases show about a category that may not fall: the course, the decision, and over what it was made."""
    low, high = _bounds(found)
    before, after = apart(found.before, found.after)
    course = f"{found.category} {before} -> {after} on {found.cases} guard cases"
    margin, end = _margin(found.margin), ""
    if found.decision == "kept":
        words = f"kept, a fall of {_margin(found.within or found.margin)} points is excluded"
        if found.within is not None and found.within > found.margin:
            end = f", one of {margin} isn't"
    elif found.decision == "fell":
        words = f"fell by more than {margin} points"
    else:
        words = (
            f"undecided, a change of {points(-high)} to {points(-low)} points is possible and the margin is {margin}"
        )
    families = f" (over {_families(found.families)})" if found.basis == "cases" else ""
    return f"{course}: {words}{end}{families}"


def target_reason(found: GuardFinding) -> str:
    """What guard cases show about a target."""
    assert found.target is not None
    low = found.after_bounds[0] if found.after_bounds else found.after
    words = {
        "reached": f"reaches {percent(found.target)}",
        "missed": f"misses {percent(found.target)}",
        None: "",
        "undecided": f"isn't shown to reach {percent(found.target)}",
    }[found.target_decision]
    return f"{found.category} {percent(found.after)} on {found.cases} guard cases {words} (at least {percent(low)})"
