"""The SQLite files of a project: the lineage's schema, transactions, and faults in plain words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from topcoat.errors import Refused, StorageFault, Where
from topcoat.store.files import no_space

__all__ = ["SCHEMA_VERSION", "Database", "DatabaseOwner"]

SCHEMA_VERSION = 1
"""Kept in the file as `PRAGMA user_version`. Raise it with every change of the schema."""

_TABLES = {
    "models": """
        name TEXT PRIMARY KEY, digest TEXT NOT NULL, path TEXT NOT NULL, parent TEXT REFERENCES models(name),
        root TEXT NOT NULL, adapter TEXT, phase TEXT, attempt INTEGER, created TEXT NOT NULL""",
    "phases": """
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, spec TEXT NOT NULL, base TEXT NOT NULL,
        created TEXT NOT NULL""",
    "attempts": """
        id INTEGER PRIMARY KEY, phase_id INTEGER NOT NULL REFERENCES phases(id), number INTEGER NOT NULL,
        learning_rate REAL NOT NULL, created TEXT NOT NULL, UNIQUE (phase_id, number)""",
    "results": """
        attempt_id INTEGER PRIMARY KEY REFERENCES attempts(id), result TEXT NOT NULL, created TEXT NOT NULL""",
    "outcomes": """
        phase_id INTEGER PRIMARY KEY REFERENCES phases(id),
        kind TEXT NOT NULL CHECK (kind IN ('promoted', 'discarded')), detail TEXT NOT NULL, created TEXT NOT NULL""",
    "evaluations": """
        seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, model TEXT NOT NULL, result TEXT NOT NULL,
        created TEXT NOT NULL""",
    "production": """
        seq INTEGER PRIMARY KEY, model TEXT NOT NULL REFERENCES models(name),
        kind TEXT NOT NULL CHECK (kind IN ('promote', 'rollback')), reason TEXT NOT NULL, created TEXT NOT NULL""",
}

_BUSY_SECONDS = 10.0


class Database:
    """A connection for one thread. What is written is flushed to the disk (`synchronous=FULL`) and never changed.

    Write-ahead logging lets `topcoat status` read while a run writes; it needs a local disk, not a network share.
    """

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, str] = _TABLES,
        version: int = SCHEMA_VERSION,
        *,
        busy_seconds: float = _BUSY_SECONDS,
    ) -> None:
        """Open the file, or make it with `tables` (the lineage's, if not told otherwise), whose schema is `version`.

        `busy_seconds` is how long another writer is waited for. Raises `StorageFault`, or `Refused` if a newer topcoat
        wrote the file.
        """
        self.path = path
        self._tables, self._newest = tables, version
        with self._faults():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a SELECT. Raises `StorageFault`."""
        with self._faults():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> sqlite3.Row | None:
        """The first row of a SELECT, or None. Raises `StorageFault`."""
        return next(iter(self.rows(query, *values)), None)

    def insert(self, table: str, **values: object) -> int:
        """Add a row and give back its number. Only inside `transaction`. Raises `StorageFault`."""
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._faults():
            cursor = self._connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [*values.values()])
            return cursor.lastrowid or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's reads and writes as one, or none of them. Waits some seconds for another writer."""
        with self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def damaged(self, reason: object) -> StorageFault:
        """The error for a file that can't be read as what it should hold."""
        return StorageFault(
            f"{self.path} is damaged: {reason}",
            where=Where(self.path),
            hint=f"sqlite3 '{self.path}' .recover | sqlite3 '{self.path}.recovered'",
        )

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        with self._faults():
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
        if self._version() == 0:
            with self.transaction():
                if self._version() == 0:  # else another command made it meanwhile
                    self._create()
        version = self._version()
        if version > self._newest:
            raise Refused(
                f"{self.path} was written by a newer topcoat: its version is {version}, "
                f"this topcoat reads {self._newest}",
                where=Where(self.path),
                hint="pip install --upgrade topcoat",
            )

    def _version(self) -> int:
        row = self.row("PRAGMA user_version")
        return int(row[0]) if row else 0

    def _create(self) -> None:
        if self.row("SELECT 1 FROM sqlite_master"):
            raise self.damaged("it holds tables that are not topcoat's")
        for table, columns in self._tables.items():
            self._connection.execute(f"CREATE TABLE {table} ({columns}) STRICT")
            for event in ("UPDATE", "DELETE"):
                self._connection.execute(
                    f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        self._connection.execute(f"PRAGMA user_version={self._newest}")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn SQLite's errors into topcoat's."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._fault(error) from error
        except OSError as error:
            raise StorageFault(f"can't open {self.path}: {error.strerror or error}", where=Where(self.path)) from error

    def _fault(self, error: sqlite3.DatabaseError) -> StorageFault | Refused:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code == sqlite3.SQLITE_FULL:
            return no_space(self.path)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Refused(
                f"{self.path} is being written by another program",
                where=Where(self.path),
                hint="wait until it ends, then run this again",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            return self.damaged(error)
        return StorageFault(f"can't use {self.path}: {error}", where=Where(self.path))


class DatabaseOwner:
    """Keeps its records in `_db`, and closes it at the end of a `with` block."""

    _db: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()
