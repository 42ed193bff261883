"""The turns of an episode, and the canned results of its tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue, model_validator

from topcoat.errors import Mistake, Where
from topcoat.spec.expect import Expect, ExpectedCall, unknown_names
from topcoat.spec.reading.section import Name, Section, refuse
from topcoat.spec.rules.rule import Rule, rule_faults, rule_of
from topcoat.spec.tools.catalog import Catalog

__all__ = ["MAX_STEPS", "CannedResult", "Steps", "Turn", "canned_mistakes"]

MAX_STEPS: Final = 10
"""How often a model answers one turn of the user by default, its last words included."""

Steps = Annotated[int, Field(ge=1, le=100)]


class Turn(Section):
    """One turn of the user in an episode.

    All that `expect` asks for must hold. Its `calls` are those of this turn, over all of its steps.
    """

    user: Name
    """What the user says."""
    expect: Expect = Field(default_factory=Expect)
    """What must be true once the model has answered without a call."""


class CannedResult(Section):
    """What a tool returns where its arguments are as `args` says."""

    tool: Name
    """The tool that returns it."""
    args: dict[str, JsonValue] = Field(default_factory=dict)
    """What the arguments of the call must be: exact values or rules, by name."""
    returns: JsonValue = None
    """The result."""
    error: Name | None = None
    """What the tool says when it fails, in place of `returns`."""
    once: bool = False
    """Whether it is given once only."""

    @model_validator(mode="after")
    def _returns_one_thing(self) -> CannedResult:
        if self.error is not None and "returns" in self.model_fields_set:
            refuse([("error", "can't stand beside `returns`: keep one of them")])
        if self.error is None and "returns" not in self.model_fields_set:
            refuse([("", "must have `returns` or `error`")])
        refuse(fault for name, value in self.args.items() for fault in rule_faults(value, f"args.{name}"))
        return self

    @property
    def rules(self) -> Mapping[str, Rule]:
        """What the arguments must be, by name. Others may have any value."""
        return {name: rule_of(value) for name, value in self.args.items()}


def canned_mistakes(results: list[CannedResult], where: Where, catalog: Catalog) -> list[Mistake]:
    """The tools and parameters of canned results at `where` that the catalog doesn't have."""
    mistakes = []
    for index, result in enumerate(results):
        call: dict[str, Any] = {"tool": result.tool, "args": result.args}
        mistakes += unknown_names(ExpectedCall.model_construct(**call), where, catalog, f"results[{index}]")
    return mistakes
