"""The list of captured sessions, filtered and some at a time, without reading all events into memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from topcoat.store.database import Database
from topcoat.usage.events import OUTCOMES
from topcoat.usage.log import MIGRATIONS, EventLog

__all__ = ["SessionFilter", "SessionList", "SessionRow"]

_OUTCOMES = ", ".join(f"'{outcome}'" for outcome in OUTCOMES)


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions are wanted: on a branch, with an event of a kind, with a text in an event. "" asks for nothing."""

    branch: str = ""
    kind: str = ""
    text: str = ""

    def conditions(self) -> dict[str, str]:
        """The conditions of SQL that an event meets, one for each filter, with their values."""
        # Events are stored as JSON, in which a text may be written in another way.
        written = json.dumps(self.text, ensure_ascii=False)[1:-1]
        pattern = "".join(f"\\{character}" if character in "%_\\" else character for character in written)
        asked = {"branch = ?": self.branch, "kind = ?": self.kind, "event LIKE ? ESCAPE '\\'": pattern}
        return {
            condition: f"%{value}%" if "LIKE" in condition else value for condition, value in asked.items() if value
        }


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session: how many events it has, from when to when, its branch, its outcomes, and what the user said of it."""

    session: str
    events: int
    first: str
    last: str
    branch: str
    outcomes: str
    corrections: int


class SessionList(EventLog):
    """The sessions of the project's events, for reading. Methods raise what `EventLog`'s raise."""

    def __init__(self, path: Path) -> None:
        """Open the events. A place that can't be written is read as it is."""
        self._db = Database(path, MIGRATIONS, reading=True)

    def found(self, wanted: SessionFilter) -> list[str]:
        """The wanted sessions, the one with the latest event first."""
        rows = self._db.rows("SELECT session FROM events GROUP BY session ORDER BY MAX(seq) DESC")
        sessions = [str(row["session"]) for row in rows]
        for condition, value in wanted.conditions().items():
            matching = self._db.rows(f"SELECT DISTINCT session FROM events WHERE {condition}", value)
            kept = {row["session"] for row in matching}
            sessions = [session for session in sessions if session in kept]
        return sessions

    def rows(self, sessions: Sequence[str]) -> list[SessionRow]:
        """What the list says of some sessions, in their order."""
        query = f"""SELECT session, COUNT(*) AS events, MIN(time) AS first, MAX(time) AS last, MAX(branch) AS branch,
            coalesce(group_concat(DISTINCT CASE WHEN kind IN ({_OUTCOMES}) THEN kind END), '') AS outcomes,
            SUM(kind = 'user_correction') AS corrections
            FROM events WHERE session IN ({", ".join("?" * len(sessions))}) GROUP BY session"""
        rows = {row["session"]: SessionRow(*row) for row in self._db.rows(query, *sessions)}
        return [rows[session] for session in sessions]

    def branches(self, most: int = 200) -> list[str]:
        """The branches that events name, at most so many."""
        rows = self._db.rows("SELECT DISTINCT branch FROM events WHERE branch != '' ORDER BY branch LIMIT ?", most)
        return [row["branch"] for row in rows]
