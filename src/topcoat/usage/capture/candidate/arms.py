"""Which session is answered by which model: by the candidate, or by production. A session that began stays where it is.

Sessions are those of the events: what the client names, or else the dialogue that a request continues (`Sessions`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from topcoat.usage.capture.apis.table import ApiName
from topcoat.usage.capture.candidate.chosen import is_chosen
from topcoat.usage.capture.candidate.outcomes import Wrong
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.sessions import Sessions
from topcoat.usage.turns import boundaries

__all__ = ["Arms", "Session"]

_MOST = 50_000
_UNREADABLE = (ValueError, RecursionError, AttributeError, TypeError, KeyError)
"""What reading a request or an answer raises that is no dialogue. Both may be anything."""


@dataclass(slots=True, eq=False)
class Session:
    """A session, and what went wrong in it. `compared`: it began here, so its model was chosen by chance.

    `recorded` is what the events call it, "" if that isn't known, and `first` the time of its first event here. `named`
    is whether the client names it `name`.
    """

    arm: Literal["candidate", "production"]
    compared: bool
    named: bool
    name: str
    wrongs: set[Wrong] = field(default_factory=set)
    recorded: str = ""
    first: datetime | None = None


class Arms:
    """The latest 50,000 sessions. For one thread."""

    def __init__(self, share: float, seed: str) -> None:
        """`share` of the new sessions go to the candidate; `seed` says which."""
        self.share = share
        self._seed = seed
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._dialogues = Sessions()
        self._begun = 0

    def session(self, body: bytes, named: str, api: ApiName) -> Session | None:
        """The session of a request; None if it is no dialogue. `named` is what its headers say.

        A dialogue that has answers already began elsewhere, so production goes on with it, and it isn't compared.
        """
        if (known := self._sessions.get(named)) is not None:
            self._sessions.move_to_end(named)
            return known
        try:
            turns, named, _ = Exchange(
                datetime.now(UTC), body, b"", streamed=False, session=named, asked=api
            ).question()
            reached = boundaries(turns)
        except _UNREADABLE:
            return None
        name, _ = self._dialogues.place(reached, named)
        if (known := self._sessions.get(name)) is not None:
            self._sessions.move_to_end(name)
            return known
        self._begun += 1
        new = not any(turn.role == "assistant" for turn in turns)
        key = named or f"{self._begun}:{reached[-1] if reached else ''}"
        chosen = new and is_chosen(key, self.share, self._seed)
        self._sessions[name] = Session("candidate" if chosen else "production", new, bool(named), name)
        if len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return self._sessions[name]

    def learn(self, session: Session, exchange: Exchange) -> None:
        """Know the dialogue again that goes on after `exchange`, if the client doesn't name it."""
        if session.named:
            return
        try:
            reached = boundaries([*exchange.question()[0], *exchange.answers()[:1]])
        except _UNREADABLE:
            return  # what can't be read goes on nowhere
        self._dialogues.learn(reached[-1], session.name)
