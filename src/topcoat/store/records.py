"""The versioned types that topcoat writes to disk and prints as JSON. Plain data with a few sums."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AttemptResult",
    "Budget",
    "Call",
    "CaseError",
    "CategoryScore",
    "CheckReport",
    "Completion",
    "Estimate",
    "EvalResult",
    "Evidence",
    "Finding",
    "FormatShare",
    "FuseReport",
    "GateCheck",
    "Interval",
    "ModuleFuse",
    "Record",
    "Score",
    "TrainReport",
    "TrainStep",
    "Trial",
    "Validation",
    "Verdict",
]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Interval = tuple[Share, Share]
Call = Literal["confirmed better", "confirmed worse", "suspected", "indistinguishable"]

_EPSILON = 1e-9
"""Means are sums of floats. A difference smaller than this is rounding."""


class Record(BaseModel):
    """Base of all records: immutable. It refuses unknown keys, so that a newer file isn't read in part."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(Record):
    """What a check found in a phase's data. An error stops the run; a warning is shown."""

    code: str
    severity: Literal["error", "warning"]
    where: str
    message: str
    hint: str
    allowed: bool = False


class Budget(Record):
    """The size of a training. `passes` is how often each new example is used; tokens are trained ones.

    `effective` is the number of evenly used templates with the same variety as the phase's examples. `programs` counts
    those without a mistake that reading can find; `programs_run` of them were executed in the sandbox.
    """

    examples: int
    replay_pool: int
    valid: int
    iterations: int
    updates: int
    passes: float
    replayed: int
    trained_tokens: int
    longest: int
    effective: float | None = None
    programs: int = 0
    programs_run: int = 0


class Estimate(Record):
    """What one attempt will take on this machine.

    `seconds` is the time to train, `memory` and `disk` the most bytes. `memory` is 0 if the engine doesn't know.
    `evaluation_seconds` is the time that the base took, None if it isn't evaluated yet. `memory_limit` is the memory
    available in bytes, None if the engine doesn't know.
    """

    seconds: float
    evaluation_seconds: float | None
    memory: int
    disk: int
    memory_limit: int | None = None

    @property
    def fits(self) -> bool:
        """Whether there is enough memory. True if that is unknown."""
        return self.memory_limit is None or self.memory <= self.memory_limit


class CheckReport(Record):
    """The result of `topcoat check` for a phase. `estimate` is None if there are errors."""

    version: Literal[1] = 1
    phase: str
    findings: list[Finding]
    budget: Budget
    estimate: Estimate | None = None

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run: errors that the user didn't allow."""
        return [finding for finding in self.findings if finding.severity == "error" and not finding.allowed]


class Completion(Record):
    """One answer of a model, as raw text. `tokens` is the number generated; `finish` says why it ended."""

    text: str
    tokens: int
    finish: Literal["stop", "length"]


class Score(Record):
    """The score of one case's answer: `value` in 0..1, and the reason in a few words.

    `family` is the case's, or empty if it has none.
    """

    case_id: str
    category: str
    value: Share
    reason: str
    scorer: str
    headline: bool = False
    answer: str = ""
    family: str = ""


class CaseError(Record):
    """A case without an answer, and the reason. The model isn't to blame."""

    case_id: str
    category: str
    reason: str


class CategoryScore(Record):
    """The mean score of a category's `n` answered cases; `solved` of them scored 1. `interval` is the mean's, at 95%.

    `errors` counts the other cases, which got no answer and have no score. `reserve` counts the category's reserve
    cases, whether they were asked or not.
    """

    category: str
    n: int
    mean: Share
    solved: int
    interval: Interval | None = None
    reserve: int = 0
    errors: int = 0


class FormatShare(Record):
    """How many answers at a temperature call tools through execute_code alone, of cases that need a tool.

    `wrong` lists each case with another answer once. `errors` counts the questions without an answer.
    """

    temperature: float
    answers: int
    right: int
    errors: int = 0
    wrong: list[str] = []

    @property
    def share(self) -> float:
        return self.right / self.answers


class EvalResult(Record):
    """A model's scores on a suite.

    Categories are in the order of the suite. `errors` are cases without a score. `formats` has one entry for each
    temperature that the project asks about. With `reserve`, the scores are those of reserve cases alone, and say
    nothing about the suite. `engine` is the name of the engine that answered, "" for a server or if it wasn't noted.
    """

    version: Literal[1] = 1
    model: str
    suite_digest: str
    categories: list[CategoryScore]
    headline: CategoryScore | None = None
    scores: list[Score]
    seconds: float
    generated_tokens: int
    reserve: bool = False
    engine: str = ""
    errors: list[CaseError] = []
    formats: list[FormatShare] = []

    def category(self, name: str) -> CategoryScore | None:
        """The named category's score, or None if the suite has no such category."""
        return next((c for c in self.categories if c.category == name), None)


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


class TrainStep(Record):
    """One optimizer update: mean loss per trained token (nats), gradient norm before clipping, learning rate."""

    update: int
    iteration: int
    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    seconds: float


class Validation(Record):
    """Mean loss per token (nats) on the fixed validation set, after `update` updates."""

    update: int
    iteration: int
    loss: float
    tokens: int


class Trial(Record):
    """One training of an attempt that has several. `failure` says why it has no adapter."""

    learning_rate: float
    seed: int
    best_loss: float | None = None
    failure: str = ""
    chosen: bool = False


class TrainReport(Record):
    """A finished training. `trials` are those it was chosen from, if there were several.

    `adopted` is the folder of an adapter that was trained elsewhere; such a training has no steps. `peak_memory` is the
    most that the engine held, in bytes; 0 if it doesn't know. `trunk_seconds` is the part of `seconds` that computed
    the trunk.
    """

    version: Literal[1] = 1
    steps: list[TrainStep]
    validations: list[Validation]
    best_update: int
    best_loss: float | None
    stopped: Literal["iterations", "patience"]
    trained_tokens: int
    seconds: float
    trials: list[Trial] = []
    adopted: str = ""
    peak_memory: int = 0
    trunk_seconds: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _as_earlier_versions_wrote_it(cls, data: object) -> object:
        """Drop `skipped`, a list that was always empty."""
        return {key: value for key, value in data.items() if key != "skipped"} if isinstance(data, dict) else data


class ModuleFuse(Record):
    """What fusing did to one module. `survival` is the share of the intended delta that the written weight contains.

    With compensated rounding, `survival` is measured in the module's outputs on the calibration rows. `step` is the rms
    distance of neighbouring values on the written grid. `codes_changed` is the share of codes that differ from those of
    the weight without the delta at the same bits. Both are None if the module is unquantized.
    """

    name: str
    bits: int | None
    delta_rms: float
    weight_rms: float
    survival: float
    step: float | None = None
    codes_changed: float | None = None


class Calibration(Record):
    """The token ids of the rows that compensated rounding uses."""

    version: Literal[1] = 1
    rows: list[list[int]]


class FuseReport(Record):
    """What fusing did to a model.

    `kl` is in mean nats per token from base + adapter, on the validation completions; None if there were none.
    `loss_adapter` and `loss_fused` are the mean losses there, in nats per token, before and after fusing.
    `bytes_written` is new disk space; `size` is that of all the model's weight files, in bytes. `computed` is the way
    of computing, "" if the engine has only one or it wasn't noted.
    """

    version: Literal[1] = 1
    modules: list[ModuleFuse]
    rounding: Literal["nearest", "compensated"] = "nearest"
    kl: float | None = None
    loss_adapter: float | None = None
    loss_fused: float | None = None
    copied_tensors: int
    bytes_written: int
    size: int | None = None
    bits_per_weight: float | None = None
    computed: str = ""

    @property
    def survival(self) -> float:
        """The smallest survival of any module (1.0 when nothing was fused)."""
        return min((m.survival for m in self.modules), default=1.0)


class GateCheck(Record):
    """One condition of the gate and whether it is met, with the evidence for a change in either direction.

    For the kind "format", `category` is the temperature, and `n` counts answers.
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

    @property
    def fell(self) -> bool:
        """Whether the category fell by more than the gate tolerates. False for checks of other kinds."""
        measured = self.before is not None and self.after is not None
        return self.kind == "no_regression" and measured and (self.after or 0.0) < self.required - _EPSILON


class Verdict(Record):
    """The gate's decision on one attempt. `failure` is set if the attempt ended before it had scores."""

    version: Literal[1] = 1
    passed: bool
    checks: list[GateCheck] = []
    failure: str = ""

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

        A lower learning rate can mend that. It can't mend a target that is missed and nothing else.
        """
        return bool(self.failure or self.falls) or any(
            check.kind == "format" and not check.passed and (check.before is None or check.after < check.before)
            for check in self.checks
            if check.after is not None
        )


class AttemptResult(Record):
    """The complete result of one attempt. The steps that a failed attempt didn't reach are None."""

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
