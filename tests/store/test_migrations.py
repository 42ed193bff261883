from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.older_project import PROJECT
from topcoat.errors import Refused
from topcoat.store.database import Database
from topcoat.store.lineage import Lineage
from topcoat.store.migrations import create_append_only
from topcoat.store.paths import ProjectPaths


def m001_colours(connection: sqlite3.Connection) -> None:
    create_append_only(connection, "colours", "name TEXT PRIMARY KEY")


def m002_shades(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE colours ADD COLUMN shade TEXT NOT NULL DEFAULT 'plain'")


def m003_names(connection: sqlite3.Connection) -> None:
    """Replace a table that another refers to."""
    create_append_only(connection, "names", "name TEXT PRIMARY KEY REFERENCES colours(name)")
    connection.execute("INSERT INTO names SELECT name FROM colours")
    connection.execute("CREATE TABLE copy AS SELECT * FROM colours")
    connection.execute("DROP TABLE colours")
    create_append_only(connection, "colours", "name TEXT PRIMARY KEY, shade TEXT NOT NULL, warm INTEGER")
    connection.execute("INSERT INTO colours SELECT name, shade, NULL FROM copy")
    connection.execute("DROP TABLE copy")


ROOT = Path(__file__).parents[2]
ALL = (m001_colours, m002_shades, m003_names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of the first migration, with a row."""
    with closing(Database(tmp_path / "a.db", ALL[:1])) as db, db.transaction():
        db.insert("colours", name="red")
    return tmp_path / "a.db"


def schema(path: Path) -> dict[str, list[str]]:
    """The words that made each table, index and trigger."""
    with closing(sqlite3.connect(path)) as raw:
        rows = raw.execute("SELECT name, sql FROM sqlite_master").fetchall()
    return {name: (sql or "").replace("(", "( ").split() for name, sql in rows}


def test_what_is_missing_is_applied_in_order_and_once(path: Path) -> None:
    with closing(Database(path, ALL[:2])) as db:
        assert [tuple(row) for row in db.rows("SELECT * FROM colours")] == [("red", "plain")]
    for _ in range(2):
        with closing(Database(path, ALL)) as db:
            assert [tuple(row) for row in db.rows("SELECT * FROM colours")] == [("red", "plain", None)]
            rows = db.rows("SELECT name, applied FROM _migrations ORDER BY rowid")
            assert [row["name"] for row in rows] == [migration.__name__ for migration in ALL]
            assert all(row["applied"] for row in rows)
            assert db.rows("PRAGMA user_version")[0][0] == 3  # which version 0.1 refuses
            assert db.rows("PRAGMA foreign_keys")[0][0] == 1


def test_a_file_made_step_by_step_is_as_one_made_at_once(path: Path, tmp_path: Path) -> None:
    Database(path, ALL).close()
    Database(tmp_path / "new.db", ALL).close()
    assert schema(path) == schema(tmp_path / "new.db")


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    def m003_broken(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE colours")
        raise ValueError("mine")

    before = schema(path)
    with pytest.raises(ValueError, match="mine"):
        Database(path, (*ALL[:2], m003_broken))
    assert schema(path) == before
    Database(path, ALL).close()


def test_a_migration_that_is_not_known_is_refused(path: Path) -> None:
    Database(path, ALL).close()
    before = path.read_bytes()
    with pytest.raises(Refused) as caught:
        Database(path, ALL[:1])
    assert caught.value.message == (
        f"{path} was written by a newer topcoat: this topcoat doesn't know its migration m002_shades, m003_names"
    )
    assert caught.value.hint == "pip install --upgrade topcoat"
    assert str(caught.value.where) == str(path)
    assert path.read_bytes() == before


def test_a_higher_number_without_a_list_is_refused(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "b.db")) as raw:
        raw.execute("PRAGMA user_version=2")
    with pytest.raises(Refused, match="newer topcoat: its version is 2") as caught:
        Database(tmp_path / "b.db", ALL)
    assert caught.value.hint == "pip install --upgrade topcoat"


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from tests.store.test_migrations import ALL
from topcoat.store.database import Database

path, left = Path(sys.argv[1]), int(sys.argv[2])
connect = sqlite3.connect

def die(statement):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

def traced(*args, **options):
    connection = connect(*args, **options)
    connection.set_trace_callback(die)
    return connection

sqlite3.connect = traced
Database(path, ALL)
"""


@pytest.mark.slow
def test_a_kill_before_any_statement_leaves_a_file_that_opens(path: Path, tmp_path: Path) -> None:
    statement, done = 0, None
    while done is None or done.returncode:
        copy = tmp_path / f"{statement}.db"
        shutil.copy(path, copy)
        done = subprocess.run([sys.executable, "-c", KILLED, copy, str(statement)], cwd=ROOT, check=False)
        with closing(Database(copy, ALL)) as db:
            assert [tuple(row) for row in db.rows("SELECT * FROM colours")] == [("red", "plain", None)]
            assert [tuple(row) for row in db.rows("SELECT * FROM names")] == [("red",)]
        statement += 1
    assert statement > 15


def test_a_project_of_version_0_1_is_brought_up_to_date(tmp_path: Path) -> None:
    shutil.copytree(PROJECT, tmp_path / "project")
    paths = ProjectPaths(tmp_path / "project")
    assert "_migrations" not in schema(paths.database)
    for _ in range(2):
        with Lineage(paths) as lineage:
            assert lineage.production() == "phase1-1"
            assert [phase.name for phase in lineage.phases()] == ["phase1", "phase2"]
    Lineage(ProjectPaths(tmp_path / "new")).close()
    assert schema(paths.database) == schema(ProjectPaths(tmp_path / "new").database)
