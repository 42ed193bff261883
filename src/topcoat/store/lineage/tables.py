"""The tables of the lineage, as the migrations that made them."""

from __future__ import annotations

import sqlite3

from topcoat.store.migrations import Migration, create_append_only

__all__ = ["CANARY_COLUMNS", "LINEAGE_MIGRATIONS"]

CANARY_COLUMNS = "phase_id, model, share, sessions, undecided, created"


def m001_lineage(connection: sqlite3.Connection) -> None:
    """Tables of models, phases with their attempts, results and outcomes, evaluations, and production models."""
    create_append_only(
        connection,
        "models",
        """name TEXT PRIMARY KEY, digest TEXT NOT NULL, path TEXT NOT NULL, parent TEXT REFERENCES models(name),
        root TEXT NOT NULL, adapter TEXT, phase TEXT, attempt INTEGER, created TEXT NOT NULL""",
    )
    create_append_only(
        connection,
        "phases",
        """id INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, spec TEXT NOT NULL, base TEXT NOT NULL,
        created TEXT NOT NULL""",
    )
    create_append_only(
        connection,
        "attempts",
        """id INTEGER PRIMARY KEY, phase_id INTEGER NOT NULL REFERENCES phases(id), number INTEGER NOT NULL,
        learning_rate REAL NOT NULL, created TEXT NOT NULL, UNIQUE (phase_id, number)""",
    )
    create_append_only(
        connection,
        "results",
        "attempt_id INTEGER PRIMARY KEY REFERENCES attempts(id), result TEXT NOT NULL, created TEXT NOT NULL",
    )
    create_append_only(
        connection,
        "outcomes",
        """phase_id INTEGER PRIMARY KEY REFERENCES phases(id),
        kind TEXT NOT NULL CHECK (kind IN ('promoted', 'discarded')), detail TEXT NOT NULL, created TEXT NOT NULL""",
    )
    create_append_only(
        connection,
        "evaluations",
        """seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, model TEXT NOT NULL, result TEXT NOT NULL,
        created TEXT NOT NULL""",
    )
    create_append_only(
        connection,
        "production",
        """seq INTEGER PRIMARY KEY, model TEXT NOT NULL REFERENCES models(name),
        kind TEXT NOT NULL CHECK (kind IN ('promote', 'rollback')), reason TEXT NOT NULL, created TEXT NOT NULL""",
    )


def m002_engine_of_phases(connection: sqlite3.Connection) -> None:
    """The engine that a phase began with, "" where it wasn't noted."""
    connection.execute("ALTER TABLE phases ADD COLUMN engine TEXT NOT NULL DEFAULT ''")


def m003_canaries(connection: sqlite3.Connection) -> None:
    """The candidates of phases that passed a gate with a canary. A phase with one and no outcome awaits it."""
    create_append_only(
        connection,
        "canaries",
        """phase_id INTEGER PRIMARY KEY REFERENCES phases(id), model TEXT NOT NULL REFERENCES models(name),
        share REAL NOT NULL, sessions INTEGER NOT NULL,
        undecided TEXT NOT NULL CHECK (undecided IN ('promote', 'discard')), created TEXT NOT NULL""",
    )


LINEAGE_MIGRATIONS: tuple[Migration, ...] = (m001_lineage, m002_engine_of_phases, m003_canaries)
