"""The gate decides whether an attempt's evaluation meets its phase's conditions. Pure: records in, verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from topcoat.spec.phase import GateSpec
from topcoat.store.records import CategoryScore, EvalResult, Evidence, GateCheck, GuardFinding, Verdict
from topcoat.suites.evidence import words

__all__ = ["judge"]

_EPSILON = 1e-9
"""Means are sums of floats: 0.1 + 0.7 isn't 0.8 to the last bit. A difference smaller than this is rounding."""


def judge(
    spec: GateSpec,
    before: EvalResult,
    after: EvalResult,
    evidence: Sequence[Evidence] = (),
    guard: Sequence[GuardFinding] = (),
    no_guard: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict on `after`, compared with the base model's `before`.

    A category that `guard` has is judged by its guard cases: one that may not fall must be "kept", and a target must be
    "reached" if the finding has one. Every other category is judged by its mean on the suite, and `no_guard` says why
    it has no guard cases. A category without a measurement fails its check. So does a comparison of two different
    suites, because their means can't be compared. `evidence` is added to each check and decides nothing.
    """
    same = before.suite_digest == after.suite_digest
    shown = {found.category: found for found in evidence} if same else {}
    guarded = {found.category: found for found in guard}
    checks = []
    for name, goal in spec.target.items():
        found = guarded.get(name)
        if found and found.target_decision:
            checks.append(_tested(found, "target", goal, shown.get(name)))
        else:
            judged = _reached(name, goal, after.category(name))
            checks.append(_check(name, "target", goal, before, after, shown.get(name), judged))
    for name in spec.no_regression:
        if found := guarded.get(name):
            required = max(0.0, found.before - found.margin)
            checks.append(_tested(found, "no_regression", required, shown.get(name)))
        else:
            one = before.category(name)
            required = max(0.0, one.mean - spec.tolerance) if one else 0.0
            judged = _kept(name, spec, one, after.category(name), same, shown.get(name))
            checks.append(_check(name, "no_regression", required, before, after, shown.get(name), judged))
    if spec.evidence == "tested":
        checks = [_by_the_mean(check, (no_guard or {}).get(check.category)) for check in checks]
    checks += _formats(spec, before, after)
    return Verdict(
        passed=all(check.passed for check in checks),
        checks=checks,
        evidence=list(shown.values()),
        guard=list(guard),
        no_guard=dict(no_guard or {}),
    )


def _tested(
    found: GuardFinding, kind: Literal["target", "no_regression"], required: float, evidence: Evidence | None
) -> GateCheck:
    """The check of what guard cases decided."""
    decision = found.target_decision if kind == "target" else found.decision
    assert decision is not None
    return GateCheck(
        category=found.category,
        kind=kind,
        required=required,
        before=found.before,
        after=found.after,
        n=found.cases,
        passed=decision in ("reached", "kept"),
        reason=words.target_reason(found) if kind == "target" else words.kept_reason(found),
        evidence=evidence,
        decision=decision,
    )


def _by_the_mean(check: GateCheck, why: str | None) -> GateCheck:
    """A check of the suite's mean says that it is one, where the phase asks for tests, and what its cases can show."""
    if check.decision:
        return check
    reason = f"{check.reason}, by the mean: {why or 'there are no guard cases'}"
    shown = f"; {words.shown_by(check.evidence)}" if check.evidence and check.passed else ""
    return check.model_copy(update={"reason": f"{reason}{shown}"})


def _check(
    name: str,
    kind: Literal["target", "no_regression"],
    required: float,
    before: EvalResult,
    after: EvalResult,
    evidence: Evidence | None,
    judged: tuple[bool, str],
) -> GateCheck:
    """The check of a category's means."""
    one, other = before.category(name), after.category(name)
    passed, reason = judged
    return GateCheck(
        category=name,
        kind=kind,
        required=required,
        before=one.mean if one else None,
        after=other.mean if other else None,
        n=other.n if other else 0,
        passed=passed,
        reason=reason,
        evidence=evidence,
    )


def _reached(name: str, required: float, after: CategoryScore | None) -> tuple[bool, str]:
    """Whether the category's mean reaches its target, and the reason."""
    if after is None:
        return False, f"{name} was not measured, target {words.percent(required)}"
    passed = after.mean >= required - _EPSILON
    mean, goal = words.apart(after.mean, required)
    return passed, f"{name} {mean} {'>=' if passed else '<'} {goal} (n={after.n})"


def _kept(
    name: str,
    spec: GateSpec,
    before: CategoryScore | None,
    after: CategoryScore | None,
    same_suite: bool,
    evidence: Evidence | None,
) -> tuple[bool, str]:
    """Whether a category's mean fell by no more than the tolerance, and the reason."""
    if before is None or after is None:
        missing = "the new model" if before else "the base" if after else "either model"
        return False, f"{name} was not measured on {missing}"
    if not same_suite:
        return False, f"{name} can't be compared: the two models were evaluated on different suites"
    passed = after.mean >= before.mean - spec.tolerance - _EPSILON
    change = after.mean - before.mean
    verb = "fell" if change < -_EPSILON else "rose" if change > _EPSILON else "kept"
    course = words.percent(after.mean) if verb == "kept" else " -> ".join(words.apart(before.mean, after.mean))
    reason = f"{name} {verb} {course} (n={after.n}), tolerance {words.percent(spec.tolerance)}"
    return passed, reason if evidence is None or passed else f"{reason}: {words.evidence_in_short(evidence)}"


def _formats(spec: GateSpec, before: EvalResult, after: EvalResult) -> list[GateCheck]:
    """One check for each temperature at which the format was measured. A failed check if there is none."""
    if spec.min_format is None:
        return []
    required = spec.min_format
    if not after.formats:
        reason = f"the format of answers was not measured, min_format {words.percent(required)}"
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
        share, goal = words.apart(found.share, required)
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
