"""Finds the session of an exchange, and how much of its dialogue is stored already."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from secrets import token_hex

__all__ = ["Sessions"]

_MOST = 50_000


class Sessions:
    """The latest 50,000 boundaries that dialogues reached, and their sessions. For one thread."""

    def __init__(self, ends: Iterable[tuple[str, str]] = ()) -> None:
        """`ends` are pairs of a boundary and its session, oldest first."""
        self._of: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()  # the sessions in turn, the next one last
        for boundary, session in ends:
            self.learn(boundary, session)

    def learn(self, boundary: str, session: str) -> None:
        sessions = self._of.setdefault(boundary, OrderedDict())
        sessions[session] = None
        sessions.move_to_end(session)
        self._of.move_to_end(boundary)
        if len(self._of) > _MOST:
            self._of.popitem(last=False)

    def place(self, reached: Sequence[str], named: str = "") -> tuple[str, int]:
        """The session of a dialogue with these boundaries, and how many of its turns are known.

        If the client names its session, that is it. Otherwise the dialogue belongs to the session that it continues
        furthest. Several sessions that are equal so far are taken in turn, the latest first. If it continues none, it
        begins a new session.
        """
        for known in range(len(reached), 0, -1):
            sessions = self._of.get(reached[known - 1]) if reached[known - 1] else None
            if sessions and named and named in sessions:
                return named, known
            if sessions and not named:
                session = next(reversed(sessions))
                sessions.move_to_end(session, last=False)
                return session, known
        return named or token_hex(8), 0
