"""Counts the answers that can't be used as they are: cut by max_tokens, unreadable, of unknown tools, or empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from topcoat.spec.suite import Case
from topcoat.store.records import AnswerFault, Score

__all__ = ["answer_faults"]

Kind = Literal["cut", "unread", "unknown tool", "empty"]

_HAS: Final[Mapping[Kind, Callable[[Score], bool]]] = {
    "cut": lambda score: score.cut,
    "unread": lambda score: bool(score.unread),
    "unknown tool": lambda score: bool(score.unknown),
    "empty": lambda score: score.empty,
}


def answer_faults(scores: Sequence[Score], cases: Sequence[Case]) -> list[AnswerFault]:
    """The faults that at least one answer has. An answer may have several."""
    limits = {case.id: case.max_tokens for case in cases}
    faults = []
    for kind, has in _HAS.items():
        own = [score for score in scores if has(score)]
        failed = [score for score in own if score.value < 1.0]
        if own:
            most = max((limits[score.case_id] for score in failed), default=0) if kind == "cut" else 0
            ids = [score.case_id for score in own]
            faults.append(AnswerFault(kind=kind, cases=ids, failed=len(failed), max_tokens=most))
    return faults
