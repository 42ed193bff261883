"""[train]: how the adapter is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from topcoat.spec.reading.section import AllOrSome, AtLeastOne, Count, Name, Positive, Section, Seed, refuse, repeated

__all__ = ["LoraSpec", "TrainSpec"]


class LoraSpec(Section):
    """[train.lora]: mlx-lm's `lora_parameters`."""

    rank: AtLeastOne = 8
    """The rank of the adapter's matrices. A higher rank has room for a larger change."""
    scale: Positive = 20.0
    """The factor of the adapter's product."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of an adapter's inputs that is left out at random in training."""
    keys: Annotated[list[Name], Field(min_length=1)] | None = None
    """The names of the modules to adapt, within a layer. By default those that mlx-lm adapts."""


class TrainSpec(Section):
    """[train]: mlx-lm's names and meanings.

    An iteration is one micro-batch. There is an update of the weights every `grad_accumulation_steps` iterations.

    With several learning rates, or several `seeds`, an attempt trains an adapter with each of them and continues with
    the one with the lowest loss on validation and guard rows.
    """

    iters: AtLeastOne = 300
    """The number of iterations."""
    batch_size: AtLeastOne = 1
    """The number of rows in an iteration."""
    learning_rate: Positive | Annotated[list[Positive], Field(min_length=1)] = 5e-5
    """The size of an update's step, or several to try."""
    num_layers: AllOrSome = 8
    """The number of layers that get an adapter, counted from the last one. -1 is all of them."""
    fine_tune_type: Literal["lora", "dora"] = "lora"
    """The kind of adapter. "dora" also learns the magnitude of each output; experts can't have it."""
    grad_accumulation_steps: AtLeastOne = 4
    """The number of iterations in an update."""
    mask_prompt: bool = True
    """Whether only the assistant's turns are trained, not the prompts."""
    mask: Literal["all", "last"] = "all"
    """Which assistant turns of a dialogue are trained, if `mask_prompt` is on."""
    val_batches: AllOrSome = 10
    """The number of batches in a validation. -1 is all of them."""
    steps_per_eval: AtLeastOne = 50
    """The number of iterations between two validations."""
    save_every: AtLeastOne = 100
    """The number of iterations between two checkpoints."""
    patience: Count = 3
    """The number of validations without improvement after which training stops early. 0 never stops early."""
    max_seq_length: Annotated[int, Field(ge=2, le=10**9)] = 2048
    """The most tokens of a row. `over_long` says what becomes of longer dialogues."""
    over_long: Literal["cut", "leave-out"] = "cut"
    """What becomes of longer dialogues: they are cut at turns, or not trained."""
    grad_checkpoint: bool = False
    """Whether the backward pass computes what is inside of layers again: less memory, more time."""
    seed: Seed = 0
    """The start of all random choices: the first adapter, the order of the rows, dropout."""
    seeds: list[Seed] = Field(default_factory=list)
    """Several seeds to try, in place of `seed`."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The rule that makes an update of gradients."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """How strongly "adamw" pulls the adapter's weights towards 0."""
    warmup: Count = 0
    """The number of updates in which the learning rate rises from 0."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the learning rate changes after the warmup."""
    max_grad_norm: Positive | None = None
    """The largest global norm of the gradients. Larger ones are scaled down to it; by default none is."""
    lora: LoraSpec = LoraSpec()
    """The size of the adapter."""

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
