"""A phase: its data, training, fuse and gate. A person or `topcoat plan` writes it."""

from __future__ import annotations

import itertools
import os.path
import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.spec.reading.loader import read_toml
from topcoat.spec.reading.section import Name, Section, refuse, repeated

__all__ = [
    "Bits",
    "DataSpec",
    "FuseSpec",
    "GateSpec",
    "GuardSpec",
    "LoraSpec",
    "PhaseSection",
    "PhaseSpec",
    "RetrySpec",
    "TrainSpec",
    "copy_of_phase",
    "diff",
    "free_phase_file",
    "load_phase",
    "phase_name",
]

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=0, le=10**9)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**9)]
AllOrSome = Annotated[int, Field(ge=-1, le=10**9)]

_EARLIER_EVIDENCE = {
    "any": ("every fall of the mean beyond the tolerance counts", "mean"),
    "confirmed": ("a fall is tested on guard cases instead", "tested"),
}
"""What values of `evidence` meant in topcoat 0.1, and what comes closest to each."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class PhaseSection(Section):
    """[phase]: `base` is "production" or a model's name. `note` is for people and changes nothing."""

    base: Name = "production"
    note: str | None = None


class DataSpec(Section):
    """[data]: `train` are files, relative to the project. `valid` is a percentage of them ("10%") or a file.

    `replay` is the share of each epoch that is drawn from earlier phases' data. `quota` is the number of examples that
    the plan asked for, by category.
    """

    train: list[Name] = Field(min_length=1, examples=['["data/NAME.jsonl"]'])
    valid: Name = "10%"
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.25
    quota: dict[Name, Count] = Field(default_factory=dict)

    @field_validator("valid")
    @classmethod
    def _percentage_in_range(cls, value: str) -> str:
        if "%" not in value:
            return value
        match = _PERCENT.fullmatch(value.strip())
        if match is None or not 0 < float(match[1]) < 100:
            refuse([("", f'must be a percentage between "0%" and "100%" or a file, is "{value}"')])
        return value

    @model_validator(mode="after")
    def _each_file_once(self) -> DataSpec:
        refuse(repeated("train", self.train))
        if self.valid in self.train:
            refuse([("valid", f'"{self.valid}" is also trained on, so its loss would mean nothing')])
        return self

    @property
    def valid_share(self) -> float | None:
        """The share of the training data for validation, in 0..1. None if `valid` is a file."""
        match = _PERCENT.fullmatch(self.valid.strip())
        return float(match[1]) / 100 if match else None

    @property
    def valid_file(self) -> str | None:
        """The validation file as written. None if `valid` is a percentage."""
        return self.valid if self.valid_share is None else None


class LoraSpec(Section):
    """[train.lora]: mlx-lm's `lora_parameters`. `keys` are the module names to adapt; None is mlx-lm's default."""

    rank: AtLeastOne = 8
    scale: Positive = 20.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    keys: Annotated[list[Name], Field(min_length=1)] | None = None


class TrainSpec(Section):
    """[train]: mlx-lm's names and meanings.

    `iters`, `steps_per_eval` and `save_every` count iterations (micro-batches). `warmup` counts updates; there is one
    every `grad_accumulation_steps` iterations. `num_layers` and `val_batches` are -1 for all. `patience` counts
    validations without improvement; 0 never stops early. `mask` says which assistant turns are trained if `mask_prompt`
    is on. With `fine_tune_type = "dora"`, each output's magnitude is learned beside the LoRA; experts can't have it.
    `max_grad_norm` clips the global norm; None doesn't clip. A dialogue of more than `max_seq_length` tokens is
    cut at turns or, with `over_long = "leave-out"`, not trained. With `grad_checkpoint`, training takes less memory and
    more time: the backward pass computes what is inside of layers again.

    With several learning rates, or several `seeds` (in place of `seed`), an attempt trains an adapter with each of them
    and continues with the one with the lowest loss on validation and guard rows.
    """

    iters: AtLeastOne = 300
    batch_size: AtLeastOne = 1
    learning_rate: Positive | Annotated[list[Positive], Field(min_length=1)] = 5e-5
    num_layers: AllOrSome = 8
    fine_tune_type: Literal["lora", "dora"] = "lora"
    grad_accumulation_steps: AtLeastOne = 4
    mask_prompt: bool = True
    mask: Literal["all", "last"] = "all"
    val_batches: AllOrSome = 10
    steps_per_eval: AtLeastOne = 50
    save_every: AtLeastOne = 100
    patience: Count = 3
    max_seq_length: Annotated[int, Field(ge=2, le=10**9)] = 2048
    over_long: Literal["cut", "leave-out"] = "cut"
    grad_checkpoint: bool = False
    seed: Seed = 0
    seeds: list[Seed] = Field(default_factory=list)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup: Count = 0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    max_grad_norm: Positive | None = None
    lora: LoraSpec = LoraSpec()

    @field_validator("fine_tune_type", mode="before")
    @classmethod
    def _a_thin_coat(cls, value: object) -> object:
        if value == "full":
            why = "it trains whole layers: mlx-lm has no gradient of quantized ones, and no thin coat would be left"
            refuse(
                [("", f'"full" can\'t be trained: {why}', "rank = 64 under [train.lora] has room for a larger change")]
            )
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> TrainSpec:
        problems: list[tuple[str, str]] = []
        if self.num_layers == 0:
            problems.append(("num_layers", "0 layers would train nothing; -1 is all of them"))
        if self.val_batches == 0:
            problems.append(("val_batches", "0 batches would validate nothing; -1 is all of them"))
        if self.iters < self.grad_accumulation_steps:
            every = f"grad_accumulation_steps is {self.grad_accumulation_steps}"
            problems.append(("iters", f"{self.iters} iterations never reach an update: {every}"))
        elif self.warmup >= self.updates and self.warmup > 0:
            fault = f"{self.warmup} updates of warmup never end: the run has {self.updates} updates"
            problems.append(("warmup", fault))
        if self.weight_decay > 0 and self.optimizer != "adamw":
            problems.append(("weight_decay", f'only "adamw" decays weights, the optimizer is "{self.optimizer}"'))
        if self.mask == "last" and not self.mask_prompt:
            problems.append(("mask", '"last" means nothing while mask_prompt is false: every token is trained'))
        refuse([*problems, *repeated("learning_rate", self.learning_rates), *repeated("seeds", self.seeds)])
        return self

    @property
    def learning_rates(self) -> list[float]:
        """The learning rates of the first attempt's trials."""
        return self.learning_rate if isinstance(self.learning_rate, list) else [self.learning_rate]

    @property
    def decisive(self) -> dict[str, Any]:
        """The keys that decide a training on given rows, as digests hold them. `over_long` decides the rows only.

        `grad_checkpoint` changes how sums are rounded. Like `fine_tune_type`, it is named where it isn't what it was
        before there was such a key, so that earlier digests stay.
        """
        usual = {"grad_checkpoint": False, "fine_tune_type": "lora"}
        unnamed = {key for key, value in usual.items() if getattr(self, key) == value}
        return self.model_dump(mode="json", exclude={"over_long", *unnamed})

    @property
    def updates(self) -> int:
        """The number of optimizer updates in `iters` iterations."""
        return self.iters // self.grad_accumulation_steps


Packing = Literal["auto", "none", 2, 3, 4, 5, 6, 8]
Bits = int | None
"""Bits per weight of a packed module. None is unquantized."""


class FuseSpec(Section):
    """[fuse]: `bits` of the adapted modules in the fused model; "none" leaves them unquantized.

    "auto" takes the fewest bits that keep `min_survival` (share of the delta) and `max_kl` (nats per token). `modules`
    sets the bits of some modules: {"mlp.down_proj" = 8} for every module whose name ends so. With `rounding =
    "compensated"`, a linear module's rounding errors compensate each other on the inputs of the training rows.
    """

    bits: Packing = "auto"
    modules: dict[Name, Packing] = Field(default_factory=dict)
    min_survival: Share = 0.95
    max_kl: Positive = 0.01
    rounding: Literal["nearest", "compensated"] = "nearest"

    def modules_bits(self, module: str) -> Literal["auto", "none"] | int:
        """The bits for the module with this full name. If several keys of `modules` fit, the longest one decides."""
        fitting = [name for name in self.modules if module == name or module.endswith(f".{name}")]
        return self.modules[max(fitting, key=len)] if fitting else self.bits


class GateSpec(Section):
    """[gate]: the target scores by category, and the categories that may not fall.

    `evidence` says what a fall is. With "tested", guard cases are drawn until a category's mean fall is shown to be
    smaller than `margin`, or larger; either is wrong with a chance of `alpha`. With "mean", it is the fall of the
    category's mean on the suite, and may be up to `tolerance`. So it is for categories without guard cases.
    `min_format` is the share of answers that must keep to the format of calls at each of the project's [eval]
    temperatures: call tools through execute_code alone or, in a native project, hold only calls that can be read, name
    a known tool and fit its JSON Schema.

    Phases that an earlier topcoat stored may have the evidence "confirmed". A phase file may not.
    """

    target: dict[Name, Share] = Field(default_factory=dict)
    no_regression: list[Name] = Field(default_factory=list)
    tolerance: Share = 0.0
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.03
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    evidence: Literal["tested", "mean", "confirmed"] = "tested"
    min_format: Share | None = None

    @field_validator("evidence", mode="before")
    @classmethod
    def _of_this_version(cls, value: object, info: ValidationInfo) -> object:
        """Read the values of earlier versions where they are stored as JSON. In a phase file they are mistakes."""
        if info.mode == "json":
            return "mean" if value == "any" else value
        if isinstance(value, str) and value in _EARLIER_EVIDENCE:
            meaning, instead = _EARLIER_EVIDENCE[value]
            refuse([("", f'"{value}" is no longer known: {meaning}', f'evidence = "{instead}"')])
        if value not in ("tested", "mean"):
            found = f', is "{value}"' if isinstance(value, str) else ""
            refuse([("", f'must be "tested" or "mean"{found}')])
        return value

    @model_validator(mode="after")
    def _asks_for_something(self) -> GateSpec:
        if not self.target and not self.no_regression and self.min_format is None:
            refuse([("", "asks for nothing: name a category under [gate.target] or in no_regression")])
        refuse(repeated("no_regression", self.no_regression))
        return self

    @property
    def categories(self) -> list[str]:
        """Every category that the gate names, targets first, each once."""
        return list(dict.fromkeys([*self.target, *self.no_regression]))

    @property
    def decisive(self) -> dict[str, Any]:
        """The keys that decide a verdict, as digests hold them.

        Without a test they are those of topcoat 0.1, where "mean" was called "any", so that earlier digests stay.
        """
        if self.evidence == "tested":
            return self.model_dump(mode="json")
        keys = self.model_dump(mode="json", exclude={"margin", "alpha"})
        return keys | {"evidence": "any" if self.evidence == "mean" else self.evidence}


class GuardSpec(Section):
    """[guard]: the cases that are made afresh for a phase, and decide what fell (`evidence = "tested"`).

    `cases` is the number for each category at the first look. As long as a category is undecided, they are doubled,
    up to `most`. 0 makes none. The base is asked to say `reworded` of each category in other words.
    """

    cases: Count = 150
    most: Count = 600
    reworded: Count = 20

    @model_validator(mode="after")
    def _most_is_most(self) -> GuardSpec:
        if self.cases > self.most:
            refuse([("most", f"is {self.most}, fewer than the {self.cases} cases of the first look")])
        return self


class RetrySpec(Section):
    """[retry]: the most attempts, and the factor of the learning rate after one that lost something.

    After one that lost nothing and missed a target, the rate is divided by it (`phases.attempts.retry`).
    """

    max_attempts: AtLeastOne = 3
    learning_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.5


class PhaseSpec(Section):
    """A phase file with every default filled in."""

    phase: PhaseSection = PhaseSection()
    data: DataSpec
    train: TrainSpec = TrainSpec()
    fuse: FuseSpec = FuseSpec()
    gate: GateSpec
    guard: GuardSpec = GuardSpec()
    retry: RetrySpec = RetrySpec()

    @property
    def digest(self) -> str:
        """sha256 of everything that can change the result, so without `note`. Written-out defaults don't change it.

        `over_long` isn't part of it, because it changes nothing where every dialogue fits.
        """
        return digest_of(_comparable(self))

    @property
    def as_version_0_1_read_it(self) -> PhaseSpec | None:
        """The phase as topcoat 0.1 read the same file: it judged falls by the mean. None if the file has newer keys."""
        if "guard" in self.model_fields_set or self.gate.model_fields_set & {"evidence", "margin", "alpha"}:
            return None
        return self.model_copy(update={"gate": self.gate.model_copy(update={"evidence": "mean"})})


def diff(old: PhaseSpec, new: PhaseSpec) -> list[str]:
    """The keys whose values differ, as "train.learning_rate: 5e-5 -> 1e-4", in the order of the file.

    Empty exactly when the digests are equal.
    """
    before, after = (_flat(_comparable(spec)) | {"gate.evidence": spec.gate.evidence} for spec in (old, new))
    keys = list(dict.fromkeys([*before, *after]))
    return [
        f"{key}: {_shown(before, key)} -> {_shown(after, key)}"
        for key in keys
        if (key in before) != (key in after) or before.get(key) != after.get(key)
    ]


def phase_name(path: Path) -> str:
    """The phase's name: the file's name without its suffix. Raises `InvalidInput` if no folder can have this name."""
    name = path.stem
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f'"{name}" can\'t be a phase\'s name: use letters, digits, ".", "_" and "-"',
            where=Where(path),
            hint=f"mv {shlex.quote(str(path))} {shlex.quote(str(free_phase_file(_allowed(path))))}",
        )
    return name


def free_phase_file(path: Path) -> Path:
    """`path` if no such file exists, else the first of NAME-2.toml, NAME-3.toml, ... that doesn't."""
    names = itertools.chain([path], (path.with_name(f"{path.stem}-{number}.toml") for number in itertools.count(2)))
    return next(each for each in names if not os.path.lexists(each))


def copy_of_phase(path: Path) -> tuple[str, str]:
    """A shell command that copies the phase file `path`, and the copy's name; both as a shell reads them."""
    copy = shlex.quote(str(free_phase_file(path)))
    return f"cp {shlex.quote(str(path))} {copy}", copy


def _allowed(path: Path) -> Path:
    """`path` with a name that a phase may have."""
    return path.with_name(f"{re.sub(r'[^A-Za-z0-9_-]+', '-', path.stem).strip('-_')[:60] or 'phase1'}.toml")


def load_phase(path: Path, root: Path | None = None) -> PhaseSpec:
    """The phase in the file `path`. With `root`, the project's folder, its data files must exist there.

    Raises `InvalidInput` with every mistake of the file.
    """
    phase_name(path)
    spec, source = read_toml(path, PhaseSpec)
    if root is None:
        return spec
    files = [(f"data.train[{i}]", name, source.where("data", "train", i)) for i, name in enumerate(spec.data.train)]
    if spec.data.valid_file is not None:
        files.append(("data.valid", spec.data.valid_file, source.where("data", "valid")))
    mistakes = [
        Mistake(f"{key}: no such file: {root / name}", where, "paths are relative to the folder of topcoat.toml")
        for key, name, where in files
        if not os.path.isfile(root / name)
    ]
    if mistakes:
        raise InvalidInput.collect(str(path), mistakes)
    return spec


def _comparable(spec: PhaseSpec) -> dict[str, Any]:
    """What decides a phase. Guard cases do only where falls are tested."""
    unused = {} if spec.gate.evidence == "tested" else {"guard": True}
    keys = spec.model_dump(mode="json", exclude={"phase": {"note"}, **unused})
    return {**keys, "train": spec.train.decisive, "gate": spec.gate.decisive}


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _shown(flat: dict[str, Any], key: str) -> str:
    if key not in flat:
        return "(not set)"
    value = flat[key]
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return f"{Decimal(repr(value)).normalize():e}"
    return "(not set)" if value is None else canonical_json(value)
