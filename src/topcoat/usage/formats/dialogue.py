"""What a reader gets and gives: documents with their places, dialogues, and what was left out or passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from topcoat.errors import Mistake, Where
from topcoat.usage.turns import Spoken

__all__ = ["MISSHAPEN", "UNFINISHED", "Dialogue", "Document", "Report", "reason_of"]

MISSHAPEN = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading a document of another shape raises. A ValidationError is a ValueError."""

UNFINISHED = "answer at the end of a session that isn't finished"
"""Passed over, so that a later import of the session finds the whole answer. Nothing tells yet whether it worked."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document of a file, and the line where it begins."""

    value: Any
    where: Where


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The turns of a dialogue, and its name for the session. Fields are "" or None if the document lacks them.

    `trace` names the session only if the dialogue continues no earlier one, because a trace may be one exchange.
    `tools` are those that its request brought, in OpenAI's form. `times` are those of the turns, if the document has
    them. `where` is the place that a mistake is reported at.
    """

    turns: list[Spoken]
    session: str = ""
    trace: str = ""
    time: datetime | None = None
    model: str = ""
    branch: str = ""
    tools: list[dict[str, Any]] | None = None
    times: Sequence[datetime | None] = ()
    where: Where | None = None


@dataclass(slots=True)
class Report:
    """What wasn't read: places with the reason, and what has no turns for a dialogue, by its name."""

    mistakes: list[Mistake] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)

    def leave_out(self, where: Where | None, message: str) -> None:
        self.mistakes.append(Mistake(message, where))

    @contextmanager
    def at(self, where: Where | None, what: str) -> Iterator[None]:
        """Read `what`, such as "line 3" or "not chat". If it has another shape, it is left out and the rest goes on."""
        try:
            yield
        except MISSHAPEN as error:
            self.leave_out(where, f"{what}: {reason_of(error)}")


def reason_of(error: Exception) -> str:
    """Why a document can't be read. Only a `ValueError` of a reader's own says it in words for the user."""
    return str(error) if type(error) is ValueError else f"it has another shape ({type(error).__name__})"
