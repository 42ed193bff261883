"""What checking, training and fusing a phase gives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from topcoat.store.records.evaluations import Record

__all__ = [
    "Budget",
    "Calibration",
    "CheckReport",
    "Estimate",
    "Finding",
    "FuseReport",
    "ModuleFuse",
    "RowCost",
    "TrainReport",
    "TrainStep",
    "Trial",
    "Validation",
]


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


class RowCost(Record):
    """The most bytes of memory that training takes at its longest row, of `tokens` tokens. None if unknown.

    `kept` is without `grad_checkpoint`, `recomputed` with it. What isn't in `measured` follows from the same row, cut.
    """

    tokens: int
    kept: int | None = None
    recomputed: int | None = None
    measured: list[Literal["kept", "recomputed"]] = Field(default_factory=list)


class GuardCost(Record):
    """The guard cases that a phase may ask, and how long that takes.

    `drawn` is the number that can be made of each category, counted up to `most`. `first` and `most` are those of a
    category at the first and at the last look; fewer than `needed` decide nothing. `seconds_each` is the time of one
    case, for base and coat together. None if the base isn't evaluated yet. The base is asked to reword `reworded` cases
    of each category.
    """

    drawn: dict[str, int]
    first: int
    most: int
    needed: int
    seconds_each: float | None = None
    reworded: int = 0


class Estimate(Record):
    """What one attempt will take on this machine.

    `seconds` is the time to train, `memory` and `disk` the most bytes. `memory` is 0 if the engine doesn't know.
    `evaluation_seconds` is the time that the base took, None if it isn't evaluated yet. `memory_limit` is the memory
    available in bytes, None if the engine doesn't know. `row` is what the longest row takes. If that is known not to
    fit, nothing is measured but shorter rows: `seconds` is None. `guard` is None if no guard cases are drawn.
    """

    seconds: float | None
    evaluation_seconds: float | None
    memory: int
    disk: int
    memory_limit: int | None = None
    row: RowCost | None = None
    guard: GuardCost | None = None

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
    """Mean losses per token (nats) after `update` updates: on the fixed validation set, and on the guard rows.

    `guard` is None without guard rows. `tokens` are those of the validation set.
    """

    update: int
    iteration: int
    loss: float
    tokens: int
    guard: float | None = None

    @property
    def total(self) -> float:
        """What decides which adapter is kept: how badly it predicts new answers, and the base's right ones."""
        return self.loss + (self.guard or 0.0)


class Trial(Record):
    """One training of an attempt that has several. `failure` says why it has no adapter.

    `best_loss` is the lowest total loss of its validations.
    """

    learning_rate: float
    seed: int
    best_loss: float | None = None
    failure: str = ""
    chosen: bool = False


class TrainReport(Record):
    """A finished training. `trials` are those it was chosen from, if there were several.

    `best_update` is that of the adapter that was kept, `best_loss` the total loss of its validation.
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
    trials: list[Trial] = Field(default_factory=list)
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
