"""The SQLite files of a project: opening them, applying migrations, transactions, and errors in plain words."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel

from topcoat.errors import Refused, StorageFault, Where
from topcoat.store.files import no_space
from topcoat.store.migrations import Migration, applied_migrations, migrate
from topcoat.store.versions import newer_topcoat, parse_record

__all__ = ["Database", "DatabaseOwner"]

R = TypeVar("R", bound=BaseModel)

_BUSY_SECONDS = 10.0


class Database:
    """A connection for one thread. Rows are flushed to the disk (`synchronous=FULL`) and never changed.

    Write-ahead logging lets `topcoat status` read while a run writes; it needs a local disk, not a network share.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migration],
        *,
        busy_seconds: float = _BUSY_SECONDS,
        reading: bool = False,
    ) -> None:
        """Open or create the file, and apply those of `migrations` that it lacks.

        `busy_seconds` is the time to wait for another writer. With `reading`, a place that can't be written is left as
        it is: a copy in memory is read instead. Raises `StorageFault`, or `Refused` if a newer topcoat wrote the file.
        """
        self.path = path
        self._migrations = migrations
        with self._faults():
            if reading and not _is_writable(path):
                self._connection = _copy_in_memory(path)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise
        self._identity = _identity(path)

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
        """Add a row and return its number. Call it inside `transaction` only. Raises `StorageFault`."""
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._faults():
            cursor = self._connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [*values.values()])
            return cursor.lastrowid or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply all of the block's writes, or none if it raises. Waits some seconds for another writer."""
        with self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def record(self, model: type[R], text: str, table: str, number: int) -> R:
        """The record in `text`, which comes from the row `number` of `table`.

        Raises `Refused` if another version of topcoat wrote it, `StorageFault` if it is damaged.
        """

        def damaged(mistake: str) -> StorageFault:
            query = f"SELECT * FROM {table} WHERE rowid = {number}"
            return StorageFault(
                f"{self.path} is damaged: {subject} can't be read: {mistake}; only an earlier copy of the file has it",
                where=Where(self.path),
                hint=f"sqlite3 {shlex.quote(str(self.path))} '{query}'",
            )

        subject = f"the {model.__name__} in row {number} of {table}"
        return parse_record(self.path, model, text, damaged, subject=subject)

    def is_in_place(self) -> bool:
        """Whether the open file is still the one at its path. SQLite goes on writing to a file that was deleted."""
        return self._identity is not None and _identity(self.path) == self._identity

    def problems(self) -> list[str]:
        """What SQLite's check of the whole file finds; empty if it is whole. Raises `StorageFault`."""
        found = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def damaged(self, reason: object) -> StorageFault:
        """The error for a file that isn't a readable database."""
        return StorageFault(
            f"{self.path} is damaged: {reason}; the hint saves the rows that can be read, "
            "and only an earlier copy of the file has the others",
            where=Where(self.path),
            hint=_rescue(self.path),
        )

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        with self._faults():
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "recursive_triggers=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
        if not self._is_current():
            with self.transaction():
                if not self._is_current():  # else another command migrated it meanwhile
                    migrate(self._connection, self._migrations)
        with self._faults():  # not earlier: a migration may have to replace a table that others refer to
            self._connection.execute("PRAGMA foreign_keys=ON")

    def _is_current(self) -> bool:
        """Whether all migrations are applied. Raises `Refused` for a newer topcoat's file and for another program's."""
        with self._faults():
            applied = applied_migrations(self._connection)
        known = [migration.__name__ for migration in self._migrations]
        if applied is None:
            self._require_new_or_first_version()
            return False
        unknown = [name for name in applied if name not in known]
        if unknown:
            raise newer_topcoat(self.path, f"this topcoat doesn't know its migration {', '.join(unknown)}")
        return len(applied) == len(known)

    def _require_new_or_first_version(self) -> None:
        """Accept a file without a list of migrations if it is empty or of version 0.1; else raise."""
        row = self.row("PRAGMA user_version")
        version = int(row[0]) if row else 0
        if version > 1:
            raise newer_topcoat(self.path, f"its version is {version}, and this topcoat reads 1")
        if version == 0 and self.row("SELECT 1 FROM sqlite_master"):
            raise StorageFault(
                f"{self.path} holds tables that are not topcoat's",
                where=Where(self.path),
                hint=f"mv {shlex.quote(str(self.path))} {shlex.quote(f'{self.path}.other')}",
            )

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
        if code == sqlite3.SQLITE_ERROR:  # nothing is unreadable: tables or columns, or the format, are others
            return StorageFault(
                f"{self.path} has other tables than its list of migrations says, or a newer SQLite wrote it: {error}",
                where=Where(self.path),
                hint="put an earlier copy of the file back, or use the version of topcoat that wrote it",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self.damaged(error)
        return StorageFault(f"can't use {self.path}: {error}", where=Where(self.path))


def _is_writable(path: Path) -> bool:
    """Whether SQLite could open or make the file: for a log beside it, its folder has to be writable too."""
    place = next(folder for folder in path.parents if folder.exists())
    return os.access(place, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def _copy_in_memory(path: Path) -> sqlite3.Connection:
    """The database in memory, empty if there is no file. Raises `sqlite3.DatabaseError` if it can't be read."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    if path.exists():
        log = path.with_name(f"{path.name}-wal")
        # Without a log nothing is missing, and without `immutable` SQLite would make one.
        whole = "&immutable=1" if not log.exists() or log.stat().st_size == 0 else ""
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{whole}", uri=True)) as source:
            source.backup(copy)
    return copy


def _rescue(path: Path) -> str:
    """A shell command that replaces a damaged database with what is still readable. It keeps the damaged file.

    `.recover` reads the most, but not every build of sqlite3 has it; `.dump` is in all. The command replaces the file
    only if it recovered the list of migrations, because topcoat can't open a file without it.
    """
    name, folder = path.name, f"{path.stem}-damaged"
    steps = (
        f"cd {shlex.quote(str(path.parent))}",
        f"mkdir {folder}",
        f"cp {name}* {folder}",
        f"cd {folder}",
        f"(sqlite3 {name} .recover > saved.sql || sqlite3 {name} .dump | sed 's/^ROLLBACK.*/COMMIT;/' > saved.sql)",
        "sqlite3 saved.db < saved.sql",
        "sqlite3 saved.db 'SELECT name FROM _migrations'",
        f"rm -f ../{name}-wal ../{name}-shm",
        f"mv saved.db ../{name}",
    )
    return " && ".join(steps)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one at the same path. None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class DatabaseOwner:
    """Base of classes that keep their records in `_db`. Closes it at the end of a `with` block."""

    _db: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()
