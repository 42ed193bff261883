"""Answers the calls of an episode: with canned results, a simulator, or results that are made up.

The first of the case's canned results that fits the call is taken. Without one, a simulator answers if the case has
one. Otherwise a tool with canned results says that there is none for these arguments, and any other tool's result is
made up from its type in the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from topcoat.calls.made_up_results import Results
from topcoat.spec.rules.matching import unmet_arguments
from topcoat.spec.suite import Case
from topcoat.spec.tools.catalog import Tool

__all__ = ["EpisodeTools", "Returned", "Simulated"]

NO_RESULT = "there is no result for these arguments"


@dataclass(frozen=True, slots=True)
class Returned:
    """What a tool returned; if it failed, `problem` is what it says, and `where` the line of the simulator's file."""

    value: JsonValue = None
    problem: str = ""
    where: str = ""

    @property
    def document(self) -> JsonValue:
        """The result as the model gets it: a failure is an object with the key `error`."""
        return {"error": self.problem} if self.problem else self.value

    @property
    def text(self) -> str:
        """The content of the tool turn: a text as it is, anything else as JSON."""
        document = self.document
        return document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)

    @property
    def note(self) -> str:
        """The problem with its place, for a person."""
        return f"{self.where}: {self.problem}" if self.where else self.problem


class Simulated(Protocol):
    """The simulator of one episode."""

    def call(self, tool: str, arguments: Mapping[str, JsonValue]) -> Returned:
        """The result of a call. It never raises for what the simulator does."""
        ...

    def state(self) -> Mapping[str, JsonValue] | None:
        """The simulator's state; None if it can't be asked."""
        ...

    def end(self) -> None:
        """Nothing more is asked."""
        ...


class EpisodeTools:
    """The tools of one episode. A result that is given `once` is remembered."""

    def __init__(self, case: Case, made_up: Results, simulator: Simulated | None) -> None:
        self._canned = list(case.results or ())
        self._tools_with_canned = {result.tool for result in self._canned}
        self._made_up, self._simulator = made_up, simulator

    @property
    def simulated(self) -> bool:
        """Whether a simulator decides which arguments a tool takes. Else its schema does."""
        return self._simulator is not None

    def call(self, tool: Tool, arguments: Mapping[str, JsonValue]) -> Returned:
        """The result of a call."""
        for index, canned in enumerate(self._canned):
            if canned.tool == tool.name and not unmet_arguments(canned.rules, arguments, tool.schema, "json"):
                if canned.once:
                    del self._canned[index]
                return Returned(canned.returns, canned.error or "")
        if self._simulator is not None:
            return self._simulator.call(tool.name, arguments)
        if tool.name in self._tools_with_canned:
            return Returned(problem=NO_RESULT)
        return Returned(self._made_up.document(tool))

    def state(self) -> Mapping[str, JsonValue] | None:
        """The simulator's state; None if there is no simulator, or it can't be asked."""
        return self._simulator.state() if self._simulator else None

    def end(self) -> None:
        """Nothing more is asked."""
        if self._simulator is not None:
            self._simulator.end()
