"""The database of events: `.topcoat/events.db`, beside the lineage.

It is a file of its own, so that capture and a run that writes the lineage don't wait for each other, and so that usage
can be deleted without the history of the models.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from topcoat.spec.project import SHAPES, CaptureSection
from topcoat.store.database import Database, DatabaseOwner
from topcoat.store.files import json_text
from topcoat.store.migrations import Migration, create_append_only
from topcoat.usage.events import Event
from topcoat.usage.privacy.event import cleaned_event

__all__ = ["MIGRATIONS", "EventLog"]


def m001_events(connection: sqlite3.Connection) -> None:
    """The table of events, with columns for looking them up."""
    create_append_only(
        connection,
        "events",
        """seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session TEXT NOT NULL, time TEXT NOT NULL,
        kind TEXT NOT NULL, branch TEXT NOT NULL, after TEXT NOT NULL, event TEXT NOT NULL""",
    )


def m002_sessions(connection: sqlite3.Connection) -> None:
    """An index of the sessions. Without it, reading one session after another reads the whole table for each."""
    connection.execute("CREATE INDEX events_of_a_session ON events (session, seq)")


MIGRATIONS: tuple[Migration, ...] = (m001_events, m002_sessions)


class EventLog(DatabaseOwner):
    """The captured events, in the order of their arrival. For one thread. Close it, or use it in a `with` block.

    Every method raises `StorageFault` if the file is damaged or the disk is full, and `Refused` if another program
    holds it for longer than `busy_seconds` or another version of topcoat wrote it. Nothing is stored then.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 10.0, capture: CaptureSection = SHAPES) -> None:
        """`capture` says what is stored of results. With "keep", `require_libraries` must have found them."""
        self._capture = capture
        self._db = Database(path, MIGRATIONS, busy_seconds=busy_seconds)

    def add(self, events: Iterable[Event]) -> int:
        """Store `events` without their secrets, each only once, and return how many were new."""
        clean = [cleaned_event(event, self._capture) for event in events]
        new = 0
        with self._db.transaction():
            for event in clean:
                if not self.has(event.id):
                    self._db.insert(
                        "events",
                        id=event.id,
                        session=event.session,
                        time=event.time.isoformat(),
                        kind=event.kind,
                        branch=event.branch,
                        after=event.after,
                        event=json_text(event.model_dump(mode="json", exclude_defaults=True) | {"version": 1}),
                    )
                    new += 1
        return new

    def has(self, event_id: str) -> bool:
        """Whether an event with this id is stored."""
        return self._db.row("SELECT 1 FROM events WHERE id = ?", event_id) is not None

    def events(self, session: str | None = None) -> Iterator[Event]:
        """All events, or a session's, oldest first."""
        only, values = ("", ()) if session is None else (" WHERE session = ?", (session,))
        for row in self._db.rows(f"SELECT seq, event FROM events{only} ORDER BY seq", *values):
            yield self._db.record(Event, row["event"], "events", row["seq"])

    def is_in_place(self) -> bool:
        """Whether the file was neither deleted nor replaced since it was opened."""
        return self._db.is_in_place()

    def problems(self) -> list[str]:
        """What SQLite finds wrong in the file; empty if it is whole. Reads all of it, and every event."""
        found = self._db.problems()
        if not found:
            for _ in self.events():
                pass
        return found

    def sessions(self, branch: str | None = None) -> dict[str, int]:
        """The number of events by session, oldest session first: of all, or of those with an event on `branch`."""
        on_branch = "" if branch is None else " HAVING SUM(branch = ?)"
        query = f"SELECT session, COUNT(*) AS n FROM events GROUP BY session{on_branch} ORDER BY MIN(seq)"
        return {row["session"]: row["n"] for row in self._db.rows(query, *([] if branch is None else [branch]))}

    def ends(self, most: int) -> list[tuple[str, str]]:
        """The last `most` pairs of `after` and session, oldest first. A later request may continue any of them."""
        query = "SELECT after, session FROM events WHERE after != '' ORDER BY seq DESC LIMIT ?"
        return [(row["after"], row["session"]) for row in self._db.rows(query, most)][::-1]

    def ends_of(self, source: str) -> list[tuple[str, str]]:
        """The pairs of `after` and session of all events that `source` captured, oldest first."""
        query = """SELECT after, session FROM events
            WHERE after != '' AND json_extract(event, '$.source') = ? ORDER BY seq"""
        return [(row["after"], row["session"]) for row in self._db.rows(query, source)]
