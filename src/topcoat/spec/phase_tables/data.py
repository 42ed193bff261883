"""[phase] and [data]: what a phase starts from, and the examples that it learns."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from topcoat.spec.reading.section import Count, Name, Section, refuse, repeated

__all__ = ["DataSpec", "PhaseSection"]

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class PhaseSection(Section):
    """[phase]: what the phase starts from."""

    base: Name = "production"
    """The model that the phase starts from: "production", or a model's name."""
    note: str | None = None
    """A remark for people. It changes nothing."""


class DataSpec(Section):
    """[data]: the examples. Paths are relative to the project's folder."""

    train: list[Name] = Field(min_length=1, examples=['["data/NAME.jsonl"]'])
    """The files with the examples to train on."""
    valid: Name = "10%"
    """The examples that only measure the loss: a percentage of `train`, or a file."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """The share of each epoch that is drawn from earlier phases' data and from the project's `history`."""
    quota: dict[Name, Count] = Field(default_factory=dict)
    """The number of examples that the plan asked for, by category. `topcoat check` compares."""

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
