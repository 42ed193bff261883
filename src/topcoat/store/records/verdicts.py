"""What an attempt showed, and what the gate decided about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topcoat.store.records.evaluations import EvalResult, Interval, Record, Share
from topcoat.store.records.training import FuseReport, TrainReport

__all__ = [
    "AttemptResult",
    "Call",
    "Evidence",
    "GateCheck",
    "GuardFinding",
    "Verdict",
]

Call = Literal["confirmed better", "confirmed worse", "suspected", "indistinguishable"]

_EPSILON = 1e-9
"""Means are sums of floats. A difference smaller than this is rounding."""


class Evidence(Record):
    """What a category's paired cases say about a change (computed and explained in `suites.evidence.statistics`).

    `changed` of the `families` scored differently. `p` is that of the paired two-sided test. `adjusted_p` is `p` after
    Holm over the categories. `level` is the p that confirms this category whatever the others show. `call` is the
    conclusion. `detectable_drop` is the smallest fall of the mean that four of five evaluations would confirm; None if
    the cases are too few to confirm any.
    """

    category: str
    pairs: int
    families: int
    changed: int
    p: Share
    adjusted_p: Share
    level: Share
    call: Call
    detectable_drop: Share | None


class GuardFinding(Record):
    """What a category's guard cases show (computed and explained in `suites.evidence.noninferiority`).

    Base and coat both answered `cases` cases of `families` families, over `looks` looks of the `planned` ones. `fall`
    is the mean of before - after, a gain is negative. `over_families` and `over_cases` are its bounds; over families
    there are none if there is one family. `decision` is about `margin`, and made over families or over cases (`basis`).
    `within` is the fall that "kept" excludes: the margin, or twice the margin at the end of the budget.

    `target` is the score to reach, if the phase has one for this category; `target_decision` says whether the mean
    after the phase reaches it, and `after_bounds` are that mean's. `log_probability` is the mean change of the
    log-probability of the base's answers, in nats an answer. `kl` is the mean divergence from the base on these
    answers, in nats a token. Both are None if they weren't measured.
    """

    category: str
    cases: int
    families: int
    looks: int
    planned: int
    before: Share
    after: Share
    fall: float
    over_families: tuple[float, float] | None
    over_cases: tuple[float, float]
    margin: Share
    alpha: Share
    decision: Literal["kept", "fell", "undecided"]
    within: Share | None = None
    basis: Literal["families", "cases"] = "families"
    target: Share | None = None
    target_decision: Literal["reached", "missed", "undecided"] | None = None
    after_bounds: Interval | None = None
    log_probability: float | None = None
    kl: float | None = None


class GateCheck(Record):
    """One condition of the gate and whether it is met, with the evidence for a change in either direction.

    For the kind "format", `category` is the temperature, and `n` counts answers. `decision` is what guard cases
    decided, and the figures are theirs. It is "" if the check compares the suite's means.
    """

    category: str
    kind: Literal["target", "no_regression", "format"]
    required: float
    before: float | None
    after: float | None
    n: int
    passed: bool
    reason: str
    evidence: Evidence | None = None
    decision: Literal["kept", "fell", "undecided", "reached", "missed", ""] = ""

    @property
    def fell(self) -> bool:
        """Whether the category fell by more than the gate tolerates. False for checks of other kinds."""
        if self.decision:
            return self.decision == "fell"
        measured = self.before is not None and self.after is not None
        return self.kind == "no_regression" and measured and (self.after or 0.0) < self.required - _EPSILON


class Verdict(Record):
    """The gate's decision on one attempt. `failure` is set if the attempt ended before it had scores.

    `evidence` is that of every category of the suite, with the reserve cases of those that were suspected; empty in the
    verdicts of topcoat 0.1. `guard` is what guard cases showed; `no_guard` gives a reason for each category without.
    """

    version: Literal[1] = 1
    passed: bool
    checks: list[GateCheck] = Field(default_factory=list)
    failure: str = ""
    evidence: list[Evidence] = Field(default_factory=list)
    guard: list[GuardFinding] = Field(default_factory=list)
    no_guard: dict[str, str] = Field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        """The reasons of a failure, one line for each failed check. Empty if the attempt passed."""
        failed = [check.reason for check in self.checks if not check.passed]
        return [self.failure, *failed] if self.failure else failed

    @property
    def falls(self) -> list[str]:
        """The categories that fell by more than the gate tolerates, blocked or not."""
        return [check.category for check in self.checks if check.fell]

    @property
    def lost_something(self) -> bool:
        """Whether the attempt did harm: it failed on the way, or a category or the format of answers got worse.

        A lower learning rate can mend that. It can't mend a target that is missed and nothing else. A category that
        may not fall and stays undecided counts as harm: many answers changed in it.
        """
        open_ = any(check.kind == "no_regression" and check.decision == "undecided" for check in self.checks)
        return bool(self.failure or self.falls or open_) or any(
            check.kind == "format" and not check.passed and (check.before is None or check.after < check.before)
            for check in self.checks
            if check.after is not None
        )


class AttemptResult(Record):
    """The complete result of one attempt. The steps that a failed attempt didn't reach are None.

    `plan` is what it changed after earlier attempts, and why; "" for a phase's first.
    """

    version: Literal[1] = 1
    phase: str
    attempt: int
    learning_rate: float
    model: str
    before: EvalResult
    train: TrainReport | None = None
    fuse: FuseReport | None = None
    after: EvalResult | None = None
    verdict: Verdict
    plan: str = ""
