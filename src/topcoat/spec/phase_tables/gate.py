"""[gate], [guard] and [retry]: what decides whether an attempt is promoted, and what follows if it isn't."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from topcoat.spec.reading.section import AtLeastOne, Count, Name, Section, Share, refuse, repeated

__all__ = ["CanarySpec", "GateSpec", "GuardSpec", "RetrySpec"]

_EARLIER_EVIDENCE = {
    "any": ("every fall of the mean beyond the tolerance counts", "mean"),
    "confirmed": ("a fall is tested on guard cases instead", "tested"),
}
"""What values of `evidence` meant in topcoat 0.1, and what comes closest to each."""


class CanarySpec(Section):
    """[gate.canary]: a model that passed the gate is tried in use before it is promoted. `topcoat serve` does it.

    Without this table, a model that passed is promoted at once.
    """

    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share of the new sessions that the model gets."""
    sessions: Annotated[int, Field(ge=10, le=10**9)] = 200
    """The most sessions that the model gets. Then its canary is over."""
    undecided: Literal["promote", "discard"] = "promote"
    """What becomes of the model if its sessions then went wrong neither more nor less often than production's, beyond
    chance. The gate has shown before that nothing fell."""


class GateSpec(Section):
    """[gate]: the conditions of promotion. At least one of `target`, `no_regression` and `min_format` is set.

    Phases that an earlier topcoat stored may have the evidence "confirmed". A phase file may not.
    """

    target: dict[Name, Share] = Field(default_factory=dict)
    """The score that a category must reach, by category."""
    no_regression: list[Name] = Field(default_factory=list)
    """The categories that may not fall."""
    tolerance: Share = 0.0
    """With `evidence = "mean"`, by how much a category's mean may fall."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """With `evidence = "tested"`, the largest fall that is no fall."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """With `evidence = "tested"`, the chance that a verdict about a category is wrong."""
    evidence: Literal["tested", "mean", "confirmed"] = "tested"
    """What a fall is. With "tested", guard cases are drawn until the mean fall is shown to be smaller than `margin`,
    or larger. With "mean", it is the fall of the mean on the suite: for categories without guard cases."""
    min_format: Share | None = None
    """The share of answers that must keep to the format of calls at each of the project's [eval] temperatures."""

    canary: CanarySpec | None = None
    """Whether, and how, a model that passed is tried in use before it is promoted. By default it isn't."""

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

        Without a test they are those of topcoat 0.1, where "mean" was called "any", so that earlier digests stay. They
        stay without a canary, too.
        """
        unused = {"canary"} if self.canary is None else set()
        if self.evidence == "tested":
            return self.model_dump(mode="json", exclude=unused)
        keys = self.model_dump(mode="json", exclude={"margin", "alpha", *unused})
        return keys | {"evidence": "any" if self.evidence == "mean" else self.evidence}


class GuardSpec(Section):
    """[guard]: the cases that are made afresh for a phase, and decide what fell (`evidence = "tested"`)."""

    cases: Count = 150
    """The number of guard cases for each category at the first look. 0 makes none."""
    most: Count = 600
    """The largest number for each category. As long as a category is undecided, its cases are doubled up to it."""
    reworded: Count = 20
    """How many of each category the base is asked to say in other words."""

    @model_validator(mode="after")
    def _most_is_most(self) -> GuardSpec:
        if self.cases > self.most:
            refuse([("most", f"is {self.most}, fewer than the {self.cases} cases of the first look")])
        return self


class RetrySpec(Section):
    """[retry]: what follows a discarded attempt."""

    max_attempts: AtLeastOne = 3
    """The most attempts."""
    learning_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The factor of the learning rate after an attempt that lost something. After one that lost nothing and missed a
    target, the rate is divided by it."""
