"""What goes wrong in a session, as far as its requests and answers show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from topcoat.spec.agent import Agent
from topcoat.spec.project import SuccessSection
from topcoat.usage.capture.candidate.answers import read_answer
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.events import Event, Kind
from topcoat.usage.extraction.reactions import reaction
from topcoat.usage.turns import Spoken, events_of

__all__ = ["REPORTED", "Wrong", "reported_in", "wrongs_in"]

Wrong = Literal["invalid call", "failed call", "cut answer", "correction", "rejected work", "no answer"]
"""What went wrong: a call can't be read or doesn't fit its tool; a tool said that it failed; an answer came to its
limit of tokens or broke off; the user or the agent corrected it; the work was closed or rejected; there was none."""

REPORTED: Mapping[Kind, Wrong] = {
    "user_correction": "correction",
    "retry": "correction",
    "closed": "rejected work",
    "rejected": "rejected work",
}
"""What the events say that an agent, a person or git reports."""
_CUT = ("length", "cut")


def reported_in(events: Iterable[Event], first: datetime | None) -> set[Wrong]:
    """What was reported of a session since its event of the time `first`, of all `events` of that name in their order.

    A client may use a session's name again and again: what was reported before is about other work.
    """
    found: set[Wrong] = set()
    for event in events:
        if event.time == first:
            found = set()
        elif event.kind in REPORTED:
            found.add(REPORTED[event.kind])
    return found


def wrongs_in(exchange: Exchange, agent: Agent, success: SuccessSection) -> set[Wrong]:
    """What went wrong in an exchange: in its answer, and in what its request says of the answer before it.

    `success` has the project's marks of results. Raises `ValueError` if the exchange is no dialogue.
    """
    turns, _, _ = exchange.question()
    found = _said_of_the_answer_before(turns, exchange, success)
    answer = read_answer(exchange, agent)
    if answer.finish in _CUT:
        found.add("cut answer")  # its last call may be cut, too: that is one fault
    elif answer.valid is False:
        found.add("invalid call")
    return found


def _said_of_the_answer_before(turns: Sequence[Spoken], exchange: Exchange, success: SuccessSection) -> set[Wrong]:
    """What the results and the user's turns after the last answer in a request say of it."""
    begin = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=None)
    if begin is None:
        return set()
    since = turns[begin:]
    events = events_of(since, [""] * len(since), 1, success=success, session="-", time=exchange.time)
    found: set[Wrong] = set()
    if any(event.result is not None and event.result.success is False for event in events):
        found.add("failed call")
    if any(turn.role == "user" and reaction(str(turn.content or "")) == "corrected" for turn in since):
        found.add("correction")
    return found
