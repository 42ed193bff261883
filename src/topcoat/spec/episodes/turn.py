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
    """One turn of the user, and what has to be true once the model has answered it without a call.

    All that `expect` asks for must hold. Its `calls` are those of this turn, over all of its steps.
    """

    user: Name
    expect: Expect = Field(default_factory=Expect)


class CannedResult(Section):
    """What `tool` returns where its arguments are as `args` says.

    `args` are exact values or rules by name, as in an expected call.
    `returns` is the result; `error` instead of it is what the tool says when it fails. With `once`, it is given once.
    """

    tool: Name
    args: dict[str, JsonValue] = Field(default_factory=dict)
    returns: JsonValue = None
    error: Name | None = None
    once: bool = False

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
