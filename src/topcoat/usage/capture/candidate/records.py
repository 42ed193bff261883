"""The records of a candidate: a line for each pair of answers and what they say in all, a line for each look."""

from __future__ import annotations

from statistics import median
from typing import Literal

from pydantic import AwareDatetime

from topcoat.store.records import Record

__all__ = ["CanaryGroup", "CanaryLook", "ShadowAnswer", "ShadowFigures", "ShadowPair", "with_pair"]


class ShadowAnswer(Record):
    """One of two answers to a request: the tools that it calls, and the kinds of what is wrong with the calls.

    A tool that the project lacks is "(unknown)": a model may write anything as its name. `valid` is None if it calls
    nothing. `seconds` are those from the request to the end of the answer. `finish` says why it ended.
    """

    calls: list[str]
    valid: bool | None
    faults: list[str]
    finish: str
    seconds: float


class ShadowPair(Record):
    """What production and a candidate answered to one request. It has no text of the dialogue.

    `same` is whether both make the same calls with the same arguments, or none.
    """

    version: Literal[1] = 1
    at: AwareDatetime
    production: str
    candidate: str
    same: bool
    shown: ShadowAnswer
    hidden: ShadowAnswer


class ShadowFigures(Record):
    """What became of the requests that were chosen for a candidate.

    `pairs` were compared; in `calling` of them one of the answers calls something. `dropped` weren't asked because too
    many waited, or because the server ended. `failed` the candidate didn't answer. `unread` couldn't be compared or
    stored. `valid_shown` and `valid_hidden` are answers with valid calls only, of `calls_shown` and `calls_hidden` that
    call something. Seconds are medians of the latest 1,000 pairs, None without one.
    """

    version: Literal[1] = 1
    candidate: str
    share: float
    pairs: int = 0
    same: int = 0
    calling: int = 0
    calls_shown: int = 0
    valid_shown: int = 0
    calls_hidden: int = 0
    valid_hidden: int = 0
    dropped: int = 0
    failed: int = 0
    unread: int = 0
    seconds_shown: float | None = None
    seconds_hidden: float | None = None


class CanaryGroup(Record):
    """The sessions of one model: `wrong` of `sessions` went wrong, each thing in so many of them (`kinds`)."""

    model: str
    sessions: int
    wrong: int
    kinds: dict[str, int]


class CanaryLook(Record):
    """One look at a candidate's sessions beside production's, or the end of a trial without one (`look` is 0).

    `decision` is "goes on", "worse", "better", "undecided" or "ended"; after each but the first, new sessions go to
    production. `reason` says why. `p_worse` and `p_better` are one-sided, `level` is the error that each may spend.
    `uncounted` exchanges couldn't be read. `phase` is the one whose gate asks for the trial, "" for one by hand.
    """

    version: Literal[1] = 1
    at: AwareDatetime
    candidate: CanaryGroup
    production: CanaryGroup
    share: float
    look: int
    looks: int
    p_worse: float | None
    p_better: float | None
    level: float | None
    decision: Literal["goes on", "worse", "better", "undecided", "ended"]
    reason: str
    uncounted: int = 0
    phase: str = ""


def with_pair(before: ShadowFigures, pair: ShadowPair, latest: list[tuple[float, float]]) -> ShadowFigures:
    """The figures with one more pair. `latest` are the seconds of the latest pairs, this one's included."""
    return before.model_copy(
        update={
            "pairs": before.pairs + 1,
            "same": before.same + pair.same,
            "calling": before.calling + (pair.shown.valid is not None or pair.hidden.valid is not None),
            "calls_shown": before.calls_shown + (pair.shown.valid is not None),
            "valid_shown": before.valid_shown + bool(pair.shown.valid),
            "calls_hidden": before.calls_hidden + (pair.hidden.valid is not None),
            "valid_hidden": before.valid_hidden + bool(pair.hidden.valid),
            "seconds_shown": median(one for one, _ in latest),
            "seconds_hidden": median(other for _, other in latest),
        }
    )
