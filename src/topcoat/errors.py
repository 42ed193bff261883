"""Every error that topcoat raises on purpose.

    TopcoatError              exit 1   a fault: the machine, a file, the engine
    ├── InvalidInput          exit 2   what the user wrote or asked for can't be used
    │   └── Refused           exit 2   it could be used, but not now (model in use, nothing to roll back to)
    │       └── Held          exit 2   another process holds the project's lock
    ├── NumericalFault        exit 1   the loss or the gradient left the finite numbers
    ├── EngineFault           exit 1   the engine could not load, train, fuse or generate
    ├── EndpointFault         exit 1   too many requests to a server stayed without an answer
    ├── StorageFault          exit 1   the disk is full, a file is damaged
    └── GateRefused           exit 3   the gate said no; nothing is wrong
        └── FuseRefused       exit 3   no permitted number of bits keeps what was learned

A message says what happened; `where` says in which file (and line); `hint` is a command or a change that can be pasted.
Anything else that reaches the user as a traceback is a bug.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "EndpointFault",
    "EngineFault",
    "FuseRefused",
    "GateRefused",
    "Held",
    "InvalidInput",
    "Mistake",
    "NumericalFault",
    "Refused",
    "StorageFault",
    "TopcoatError",
    "Where",
]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file that a person can open. `line` counts from 1."""

    path: Path
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in what a user wrote."""

    message: str
    where: Where | None = None
    hint: str | None = None


class TopcoatError(Exception):
    """The root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1

    def __init__(self, message: str, *, where: Where | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Everything that is wrong, for display; a plain error is its own only mistake."""
        return (Mistake(self.message, self.where, self.hint),)


class InvalidInput(TopcoatError):
    """What the user wrote can't be used. Carries every mistake found, not only the first."""

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        where: Where | None = None,
        hint: str | None = None,
        mistakes: tuple[Mistake, ...] = (),
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self._mistakes = mistakes

    @classmethod
    def collect(cls, subject: str, mistakes: list[Mistake]) -> InvalidInput:
        """One error for all `mistakes` (at least one) found in `subject`."""
        count = len(mistakes)
        return cls(f"{subject}: {count} mistake{'s' if count > 1 else ''}", mistakes=tuple(mistakes))

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        return self._mistakes or super().mistakes


class Refused(InvalidInput):
    """A valid request that can't be served in the present state."""


class Held(Refused):
    """Another process, or this one, holds the project's lock."""


class NumericalFault(TopcoatError):
    """The loss, the gradient or what a module is given is no longer a finite, sane number."""


class EngineFault(TopcoatError):
    """The engine could not do what it was asked."""


class EndpointFault(TopcoatError):
    """A server left too many questions unanswered: what it did answer isn't an evaluation."""


class StorageFault(TopcoatError):
    """A file could not be written or read back."""


class GateRefused(TopcoatError):
    """The phase ran to its end and the gate discarded it."""

    exit_code = 3


class FuseRefused(GateRefused):
    """Fusing would lose more of the adapter than the phase allows."""
