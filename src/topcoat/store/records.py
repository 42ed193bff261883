"""The versioned types that topcoat writes to disk and prints as JSON. Plain data; no behaviour beyond small sums."""

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
"""Means are sums of floats: no real difference is this small."""


class Record(BaseModel):
    """Base of all records: immutable; unknown keys refused, so that a newer file isn't half read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(Record):
    """Something about a phase's data that a person should know before training. An error stops the run."""

    code: str
    severity: Literal["error", "warning"]
    where: str
    message: str
    hint: str
    allowed: bool = False


class Budget(Record):
    """What a training run amounts to. `passes` is how often each new example is seen; tokens are trained ones.

    `effective` is how many examples of evenly used templates would be as varied as the phase's own. `programs` are
    those in which reading found no fault; `programs_run` of them were run in the sandbox.
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
    """What one attempt will take on this machine: `seconds` to train, bytes of `memory` (0: the engine doesn't know)
    and, at most, of `disk`. `evaluation_seconds` are those that the base took, None if it wasn't evaluated yet.
    `memory_limit` are the bytes of memory that there are, None if the engine doesn't know.
    """

    seconds: float
    evaluation_seconds: float | None
    memory: int
    disk: int
    memory_limit: int | None = None

    @property
    def fits(self) -> bool:
        """Whether there is enough memory, as far as is known."""
        return self.memory_limit is None or self.memory <= self.memory_limit


class CheckReport(Record):
    """Everything that `topcoat check` found out about a phase. `estimate` is None if there are errors."""

    version: Literal[1] = 1
    phase: str
    findings: list[Finding]
    budget: Budget
    estimate: Estimate | None = None

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run: errors that were not allowed by their code."""
        return [finding for finding in self.findings if finding.severity == "error" and not finding.allowed]


class Completion(Record):
    """One answer of a model, as raw text. `tokens` were generated; `finish` is why it ended."""

    text: str
    tokens: int
    finish: Literal["stop", "length"]


class Score(Record):
    """One case, answered and scored: `value` in 0..1, and the reason in a few words.

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
    """A case that got no answer, and why: nothing that the model did."""

    case_id: str
    category: str
    reason: str


class CategoryScore(Record):
    """The mean score of a category's `n` answered cases; `solved` of them scored 1. `interval` is the mean's, at 95%.

    `errors` more cases got no answer, which is no score. `reserve` is how many cases the suite keeps for a second look
    at the category, asked by now or not.
    """

    category: str
    n: int
    mean: Share
    solved: int
    interval: Interval | None = None
    reserve: int = 0
    errors: int = 0


class FormatShare(Record):
    """How many of the answers at a temperature call tools through execute_code alone, where a tool has to be called.

    `wrong` are the cases with an answer that doesn't, each once; `errors` more questions got no answer.
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
    """A model's scores on a suite. Categories are in the order of the suite; `errors` are cases without a score;
    `formats` are there for the temperatures that the project asks about.

    `reserve`: these are the answers to reserve cases alone, asked for a second look; they say nothing about the suite.
    `engine` is the name of the one that answered, "" for a server or if it wasn't noted.
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

    `changed` of the `families` scored differently. `p` is the paired test's, two-sided; `adjusted_p` is that after
    Holm over the categories, and `level` the p at which this one is confirmed whatever the others show.
    `detectable_drop` is the smallest fall of the mean that four of five evaluations would have confirmed; None if the
    cases are too few to confirm any.
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
    """One of several trainings of an attempt. `failure` says why it has no adapter."""

    learning_rate: float
    seed: int
    best_loss: float | None = None
    failure: str = ""
    chosen: bool = False


class TrainReport(Record):
    """A finished training run. `trials` are those it was chosen from, if there were several.

    `adopted` is the folder of an adapter that was trained elsewhere: then there are no steps. `peak_memory` is what the
    engine held at most, in bytes; 0 if it doesn't know. Of all `seconds`, `trunk_seconds` went into what is computed
    once a row.
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
        """Without `skipped`, a list that stayed empty."""
        return {key: value for key, value in data.items() if key != "skipped"} if isinstance(data, dict) else data


class ModuleFuse(Record):
    """What fusing did to one module. `survival` is the share of the intended delta present in the written weight.

    Where roundings were compensated, it is that share of what the module puts out on the calibration rows.

    `step` is the rms distance of neighbouring values on the written grid, `codes_changed` the share of codes that
    differ from those of the weight without the delta at the same bits; both None if it is unquantized.
    """

    name: str
    bits: int | None
    delta_rms: float
    weight_rms: float
    survival: float
    step: float | None = None
    codes_changed: float | None = None


class Calibration(Record):
    """The token ids of the rows on whose inputs roundings were compensated."""

    version: Literal[1] = 1
    rows: list[list[int]]


class FuseReport(Record):
    """What fusing did to a model. `kl`: mean nats per token from base + adapter, on the validation completions.

    `loss_adapter` and `loss_fused` are the mean losses there, in nats per token, before and after fusing.
    `bytes_written` takes new disk; `size` is all of the model's weight files, in bytes. `computed` is how the engine
    computed, "" if it has one way or it wasn't noted.
    """

    version: Literal[1] = 1
    modules: list[ModuleFuse]
    rounding: Literal["nearest", "compensated"] = "nearest"
    kl: float = 0.0
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
    """One condition of the gate and how it came out, with what the cases say about a change in either direction.

    For the kind "format", `category` says at which temperature, and `n` counts answers.
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
        """Whether the category fell by more than the gate tolerates, if that is what the check is about."""
        measured = self.before is not None and self.after is not None
        return self.kind == "no_regression" and measured and (self.after or 0.0) < self.required - _EPSILON


class Verdict(Record):
    """The gate's decision on one attempt. `failure` is set if the attempt never got as far as its scores."""

    version: Literal[1] = 1
    passed: bool
    checks: list[GateCheck] = []
    failure: str = ""

    @property
    def reasons(self) -> list[str]:
        """Why it failed, a line for each check that did not pass; empty if it passed."""
        failed = [check.reason for check in self.checks if not check.passed]
        return [self.failure, *failed] if self.failure else failed

    @property
    def falls(self) -> list[str]:
        """The categories that fell by more than the gate tolerates, whether or not that was blocked."""
        return [check.category for check in self.checks if check.fell]


class AttemptResult(Record):
    """One attempt of a phase, complete. What an attempt that failed on its way didn't reach is None."""

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
