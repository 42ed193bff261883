"""Migrations make a database's tables. The code has them in one list; the file lists those applied.

A list only grows, at its end. A released migration is never changed, renamed or removed, because a project of any
earlier version goes through the same ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

__all__ = ["Migration", "applied_migrations", "create_append_only", "migrate"]

Migration = Callable[[sqlite3.Connection], None]
"""Changes the tables inside the caller's transaction. It must not call `executescript`, which commits."""

_TABLE = "_migrations"


def create_append_only(connection: sqlite3.Connection, table: str, columns: str) -> None:
    """Make a table that refuses to change or delete rows."""
    connection.execute(f"CREATE TABLE {table} ({columns}) STRICT")
    for event in ("UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def applied_migrations(connection: sqlite3.Connection) -> list[str] | None:
    """The migrations that the file lists as applied, in that order. None if it has no list."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone() is None:
        return None
    return [row[0] for row in connection.execute(f"SELECT name FROM {_TABLE} ORDER BY rowid")]


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply those of `migrations` that the file doesn't list. In the caller's transaction: all are applied, or none.

    Version 0.1 kept no list. It stored `user_version` 1 for its only schema, that of the first migration, and refuses
    any higher number. So `user_version` still counts the migrations.
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
