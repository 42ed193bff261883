"""A parsed answer: its tool calls, its other contents, and how its programs ended. Knows no syntax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from topcoat.spec.agent import Route

__all__ = ["NON_LITERAL", "Answer", "Call", "NonLiteral", "Place", "Run", "Scored", "upstream"]

Place = tuple[int, int, int]
"""Where a call begins: the index in `Answer.programs`, the line from 1, the column in UTF-8 bytes from 0."""

Scored = tuple[float, str]
"""A value in 0..1 and the reason for it."""


class NonLiteral(Enum):
    """Stands for an argument whose value the text doesn't show. Differs from every value that a case can expect."""

    VALUE = "computed"

    def __repr__(self) -> str:
        return "<computed>"


NON_LITERAL: Final = NonLiteral.VALUE


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool.

    `uses` are the positions in `Answer.calls` of earlier calls whose results flow into this one's arguments without
    passing through a third call. A call in a loop, a branch or a function is one call. `place` is None for a call
    outside any program.
    """

    tool: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    uses: frozenset[int] = frozenset()
    route: Route = "code"
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What happened when an answer's programs were executed.

    `calls` are in the order in which they were made, each with its values. A call in a loop is one call each time.
    `problem` says why the programs didn't finish, "" if they did. `lacks` is what of Python the sandbox lacks, if
    that is why. `printed` is what they printed, in one text. `others` are runs in which the tools gave other results.
    """

    calls: tuple[Call, ...] = ()
    problem: str = ""
    printed: str = ""
    lacks: str = ""
    others: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer.

    `calls` are in the order of execution. `wrapped` says whether the answer calls execute_code, with any code. `blocks`
    counts the tool calls in the markup, readable or not, of known tools or not; 0 means plain prose. `problems` are
    notes for the person who reads the score. `text` is the answer without its thoughts. `programs` is the code of each
    execute_code. `run` says what happened to them, if they were executed. `unread` is why the first call or thought
    can't be read, "" if all can. `unknown` are the tools that are called and that the catalog lacks. `faults` are what
    would make a program fail, as far as reading it tells: each with its line. `asked` are values of results, by class
    and field, for which the programs' conditions hold.
    """

    calls: tuple[Call, ...] = ()
    wrapped: bool = False
    blocks: int = 0
    problems: tuple[str, ...] = ()
    text: str = ""
    programs: tuple[str, ...] = ()
    run: Run | None = None
    unread: str = ""
    unknown: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    asked: Mapping[tuple[str, str], object] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether the answer neither says nor calls anything."""
        return not self.blocks and not self.text


def upstream(calls: Sequence[Call]) -> list[frozenset[int]]:
    """For each of `calls`, the positions of all calls whose results reach it, also through other calls."""
    reached: list[frozenset[int]] = []
    for call in calls:  # `uses` only points backwards, so what they reach is known
        reached.append(call.uses.union(*(reached[source] for source in call.uses)))
    return reached
