"""How a database got its tables: named migrations in one list, and a table in the file of those applied.

A list only grows, at its end. A migration that was released is never changed, renamed or taken out, because a project
of any earlier version goes through the same ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

__all__ = ["Migration", "applied_migrations", "create_append_only", "migrate"]

Migration = Callable[[sqlite3.Connection], None]
"""Changes the tables, inside a transaction that isn't its own. It must not call `executescript`, which commits."""

_TABLE = "_migrations"


def create_append_only(connection: sqlite3.Connection, table: str, columns: str) -> None:
    """Make a table whose rows can be neither changed nor deleted."""
    connection.execute(f"CREATE TABLE {table} ({columns}) STRICT")
    for event in ("UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def applied_migrations(connection: sqlite3.Connection) -> list[str] | None:
    """The names of the migrations that the file lists, in the order of their application; None if it has no list."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone() is None:
        return None
    return [row[0] for row in connection.execute(f"SELECT name FROM {_TABLE} ORDER BY rowid")]


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply those of `migrations` that the file doesn't list. Runs inside a transaction: all are applied, or none.

    Version 0.1 kept no list. It noted its only schema, which is the first migration's, as `user_version` 1, and refuses
    any higher number. So that number goes on counting the migrations.
    """
    names = applied_migrations(connection)
    if names is None:
        made_by_first_version = connection.execute("PRAGMA user_version").fetchone()[0] == 1
        create_append_only(connection, _TABLE, "name TEXT PRIMARY KEY, applied TEXT NOT NULL")
        names = [_note(connection, migrations[0])] if made_by_first_version else []
    for migration in migrations:
        if migration.__name__ not in names:
            migration(connection)
            _note(connection, migration)
    connection.execute(f"PRAGMA user_version={len(migrations)}")


def _note(connection: sqlite3.Connection, migration: Migration) -> str:
    name, now = migration.__name__, datetime.now(UTC).isoformat(timespec="milliseconds")
    connection.execute(f"INSERT INTO {_TABLE} (name, applied) VALUES (?, ?)", (name, now))
    return name
