"""The gate decides whether an attempt's evaluation meets its phase's conditions. Pure: records in, verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from topcoat.spec.phase import GateSpec
from topcoat.store.records import CategoryScore, EvalResult, Evidence, GateCheck, Verdict

__all__ = ["judge"]

_EPSILON = 1e-9
"""Means are sums of floats: 0.1 + 0.7 isn't 0.8 to the last bit. A difference smaller than this is rounding."""


def judge(spec: GateSpec, before: EvalResult, after: EvalResult, evidence: Sequence[Evidence] = ()) -> Verdict:
    """The verdict on `after`, compared with the base model's `before`.

    A category without a measurement fails its check. So does a comparison of two different suites, because their means
    can't be compared. `evidence` is added to each check. It decides only if the spec asks for confirmed falls; a
    category without evidence is then judged by its means.
    """
    same = before.suite_digest == after.suite_digest
    shown = {found.category: found for found in evidence} if same else {}
    checks = []
    for name, goal in spec.target.items():
        one, other = before.category(name), after.category(name)
        checks.append(_check(name, "target", goal, one, other, shown.get(name), _reached(name, goal, other)))
    for name in spec.no_regression:
        one, other, found = before.category(name), after.category(name), shown.get(name)
        required = max(0.0, one.mean - spec.tolerance) if one else 0.0
        judged = _kept(name, spec, one, other, same, found)
        checks.append(_check(name, "no_regression", required, one, other, found, judged))
    checks += _formats(spec, before, after)
    return Verdict(passed=all(check.passed for check in checks), checks=checks)


def _check(
    name: str,
    kind: Literal["target", "no_regression"],
    required: float,
    before: CategoryScore | None,
    after: CategoryScore | None,
    evidence: Evidence | None,
    judged: tuple[bool, str],
) -> GateCheck:
    passed, reason = judged
    return GateCheck(
        category=name,
        kind=kind,
        required=required,
        before=before.mean if before else None,
        after=after.mean if after else None,
        n=after.n if after else 0,
        passed=passed,
        reason=reason,
        evidence=evidence,
    )


def _reached(name: str, required: float, after: CategoryScore | None) -> tuple[bool, str]:
    """Whether the category reaches its target, and the reason."""
    if after is None:
        return False, f"{name} was not measured, target {required:.3f}"
    passed = after.mean >= required - _EPSILON
    mean, goal = _apart(after.mean, required)
    return passed, f"{name} {mean} {'>=' if passed else '<'} {goal} (n={after.n})"


def _kept(
    name: str,
    spec: GateSpec,
    before: CategoryScore | None,
    after: CategoryScore | None,
    same_suite: bool,
    evidence: Evidence | None,
) -> tuple[bool, str]:
    """Whether a category fell by no more than the tolerance, and the reason."""
    if before is None or after is None:
        missing = "the new model" if before else "the base" if after else "either model"
        return False, f"{name} was not measured on {missing}"
    if not same_suite:
        return False, f"{name} can't be compared: the two models were evaluated on different suites"
    within = after.mean >= before.mean - spec.tolerance - _EPSILON
    unconfirmed = evidence is not None and evidence.call != "confirmed worse"
    passed = within or (spec.evidence == "confirmed" and unconfirmed)
    change = after.mean - before.mean
    verb = "fell" if change < -_EPSILON else "rose" if change > _EPSILON else "kept"
    course = f"{after.mean:.3f}" if verb == "kept" else " -> ".join(_apart(before.mean, after.mean))
    reason = f"{name} {verb} {course} (n={after.n}), tolerance {spec.tolerance:.3f}"
    return passed, reason if evidence is None or within else f"{reason}: {_weight(evidence)}"


def _formats(spec: GateSpec, before: EvalResult, after: EvalResult) -> list[GateCheck]:
    """One check for each temperature at which the format was measured. A failed check if there is none."""
    if spec.min_format is None:
        return []
    required = spec.min_format
    if not after.formats:
        reason = f"the format of answers was not measured, min_format {required:.3f}"
        absent = GateCheck(
            category="format",
            kind="format",
            required=required,
            before=None,
            after=None,
            n=0,
            passed=False,
            reason=reason,
        )
        return [absent]
    base = {found.temperature: found.share for found in before.formats}
    checks = []
    for found in after.formats:
        passed = found.share >= required - _EPSILON
        share, goal = _apart(found.share, required)
        name = f"format at temperature {found.temperature:g}"
        reason = f"{name} {share} {'>=' if passed else '<'} {goal} (n={found.answers})"
        checks.append(
            GateCheck(
                category=name,
                kind="format",
                required=required,
                before=base.get(found.temperature),
                after=found.share,
                n=found.answers,
                passed=passed,
                reason=reason,
            )
        )
    return checks


def _weight(evidence: Evidence) -> str:
    """The evidence for a fall, in a few words."""
    drop = evidence.detectable_drop
    words = f"{evidence.call}, p = {evidence.p:.2g}, adjusted {evidence.adjusted_p:.2g}"
    if evidence.call == "confirmed worse":
        return words
    return f"{words}, " + (f"a fall of {drop:.3f} would show" if drop is not None else "too few cases to show any fall")


def _apart(one: float, other: float) -> tuple[str, str]:
    """Both numbers to three digits, or to as many as make them differ."""
    digits = next((n for n in (3, 6, 9) if f"{one:.{n}f}" != f"{other:.{n}f}"), 3)
    return f"{one:.{digits}f}", f"{other:.{digits}f}"
