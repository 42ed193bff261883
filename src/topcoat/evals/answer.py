"""What was read out of a model's answer: the tool calls, and what was wrong with the rest. Knows no syntax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

__all__ = ["NON_LITERAL", "Answer", "Call", "NonLiteral", "Route"]

Route = Literal["code", "native"]
"""How a call was written: as Python inside execute_code, or as a tool call of its own."""


class NonLiteral(Enum):
    """Stands for an argument whose value can't be read off the text. Equal to nothing a case can expect."""

    VALUE = "computed"

    def __repr__(self) -> str:
        return "<computed>"


NON_LITERAL: Final = NonLiteral.VALUE


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool.

    `uses` are the positions in `Answer.calls` of earlier calls whose results flow into this one's arguments without
    passing through a third call. A call that stands in a loop, a branch or a function is one call.
    """

    tool: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    uses: frozenset[int] = frozenset()
    route: Route = "code"


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer.

    `calls` are in the order in which they run. `wrapped` tells whether execute_code was called, with whatever code.
    `blocks` counts the tool calls that the markup holds, readable or not, of known tools or not: 0 is plain prose.
    `problems` are notes for the person who reads the score.
    """

    calls: tuple[Call, ...] = ()
    wrapped: bool = False
    blocks: int = 0
    problems: tuple[str, ...] = ()

    def upstream(self, index: int) -> frozenset[int]:
        """Every call whose result reaches call `index`, through other calls too. (`uses` only points backwards.)"""
        reached: set[int] = set()
        waiting = list(self.calls[index].uses)
        while waiting:
            source = waiting.pop()
            if source not in reached:
                reached.add(source)
                waiting.extend(self.calls[source].uses)
        return frozenset(reached)
