"""The trial of a candidate: its sessions beside production's, and what a look at them decides. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from topcoat.quantity import counted
from topcoat.suites.evidence.looks import Look, plan_looks
from topcoat.suites.evidence.statistics import ALPHA
from topcoat.suites.evidence.two_samples import Group, p_more

__all__ = ["FEWEST", "Decision", "Found", "Trial", "in_words"]

FEWEST = 10
"""The candidate's sessions at the first look."""

Decision = Literal["goes on", "worse", "better", "undecided"]


@dataclass(frozen=True, slots=True)
class Found:
    """What one look shows. `p_worse` and `p_better` are one-sided, `level` is the error that each may spend."""

    look: Look
    candidate: Group
    production: Group
    p_worse: float
    p_better: float
    level: float
    decision: Decision


class Trial:
    """The looks of one trial, until one of them decides or none is left."""

    def __init__(self, most: int, done: int = 0) -> None:
        """The last look is at `most` sessions of the candidate. `done` looks were made before."""
        self.looks: Sequence[Look] = plan_looks(min(FEWEST, most), most, ALPHA)
        self._done = done

    @property
    def next(self) -> Look | None:
        """The look to come; None at the end."""
        return self.looks[self._done] if self._done < len(self.looks) else None

    def look(self, candidate: Group, production: Group) -> Found:
        """Look now. The candidate must have the sessions of `next`, or more.

        If both go wrong equally often, the chance that any look says "worse" is at most 5%, and so is that of
        "better", also if what went wrong in a session becomes known after a look.
        """
        look = self.looks[self._done]
        self._done += 1
        worse, better = p_more(candidate, production), p_more(production, candidate)
        decision: Decision = "undecided" if look.planned_last else "goes on"
        if worse <= look.level:
            decision = "worse"
        elif better <= look.level:
            decision = "better"
        if decision in ("worse", "better"):
            self._done = len(self.looks)
        return Found(look, candidate, production, worse, better, look.level, decision)


def in_words(found: Found, name: str, production: str, kinds: Mapping[str, int]) -> str:
    """What a look shows, in words. `kinds` says in how many of the candidate's sessions which thing went wrong."""
    mine, others = found.candidate, found.production
    listed = ", ".join(f"{kind} in {number}" for kind, number in kinds.items() if number)
    what = f"{mine.wrong} of {counted(mine.n, 'session')} of {name} went wrong{f' ({listed})' if listed else ''}"
    beside = f"{others.wrong} of {others.n} of {production}"
    p = found.p_better if found.decision == "better" else found.p_worse
    return f"{what}, and {beside}: p = {p:.2g}, look {found.look.number} of {found.look.of} at {found.level:.2g}"
