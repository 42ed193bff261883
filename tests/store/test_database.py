from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.older_project import PROJECT
from topcoat.errors import Refused, StorageFault
from topcoat.store.database import Database
from topcoat.store.lineage.tables import LINEAGE_MIGRATIONS
from topcoat.store.records import CategoryScore

TABLES = ("_migrations", "models", "phases", "attempts", "results", "canaries", "outcomes", "evaluations", "production")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".topcoat/topcoat.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    with closing(opened(path)) as database:
        yield database


def opened(path: Path, busy_seconds: float = 10.0) -> Database:
    return Database(path, LINEAGE_MIGRATIONS, busy_seconds=busy_seconds)


def fill(db: Database) -> None:
    now = "2026-01-01T00:00:00+00:00"
    with db.transaction():
        db.insert("models", name="m", digest="d", path="p", root="m", created=now)
        db.insert("phases", id=1, name="p", digest="d", spec="{}", base="m", created=now)
        db.insert("attempts", id=1, phase_id=1, number=1, learning_rate=0.1, created=now)
        db.insert("results", attempt_id=1, result="{}", created=now)
        db.insert("canaries", phase_id=1, model="m", share=0.1, sessions=9, undecided="promote", created=now)
        db.insert("outcomes", phase_id=1, kind="promoted", detail="", created=now)
        db.insert("evaluations", key="k", model="m", result="{}", created=now)
        db.insert("production", model="m", kind="promote", reason="", created=now)


@pytest.mark.parametrize("table", TABLES)
def test_rows_can_be_neither_changed_nor_deleted_nor_replaced(db: Database, path: Path, table: str) -> None:
    fill(db)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA recursive_triggers=ON")
        for statement in (
            f"UPDATE {table} SET rowid = rowid",
            f"DELETE FROM {table}",
            f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
                other.execute(statement)
    other.close()
    assert len(db.rows(f"SELECT * FROM {table}")) == (len(LINEAGE_MIGRATIONS) if table == "_migrations" else 1)


def test_every_table_is_covered(db: Database) -> None:
    assert {row["name"] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")} == set(TABLES)


def test_the_connection_is_durable_and_checks_references(db: Database) -> None:
    pragmas = [db.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert pragmas == ["wal", 2, 1]


def test_a_failed_transaction_leaves_nothing(db: Database) -> None:

    def half() -> None:
        with db.transaction():
            db.insert("models", name="m", digest="d", path="p", root="m", created="now")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        half()
    assert db.rows("SELECT * FROM models") == []
    fill(db)  # and the connection goes on


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "not a database":
        path.write_bytes(b"hello " * 100)
    elif how == "header":
        path.write_bytes(b"\0" * 100 + content[100:])
    elif how == "schema page":
        path.write_bytes(content[:100] + b"\xff" * 3000 + content[3100:])
    else:
        path.write_bytes(content[: len(content) // 2])


def read_all(path: Path) -> None:
    with closing(opened(path)) as db:
        for table in TABLES:
            db.rows(f"SELECT * FROM {table}")


@pytest.mark.parametrize("how", ["not a database", "header", "schema page", "truncated"])
def test_a_damaged_file_is_a_storage_fault_with_place_and_hint(path: Path, how: str) -> None:
    db = opened(path)
    fill(db)
    db.close()
    damage(path, how)
    with pytest.raises(StorageFault, match="is damaged") as caught:
        read_all(path)
    assert str(caught.value.where) == str(path)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"cd {path.parent} && ")


def page_of(path: Path, text: bytes) -> int:
    """Where the page of the file that holds `text` begins."""
    return path.read_bytes().index(text) // 4096 * 4096


needs_sqlite3 = pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the hint runs the sqlite3 command")


@needs_sqlite3
def test_the_hint_saves_what_can_be_read_of_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "it's here" / "topcoat.db"
    with closing(opened(path)) as db, db.transaction():
        for number in range(400):
            db.insert("models", name=f"model {number:03}", digest="d" * 100, path="p", root="m", created="now")
    page = page_of(path, b"model 200")
    content = path.read_bytes()
    path.write_bytes(content[:page] + b"\xff" * 4096 + content[page + 4096 :])
    with closing(opened(path)) as db, pytest.raises(StorageFault, match="is damaged") as caught:
        db.rows("SELECT * FROM models")
    assert caught.value.hint is not None
    done = subprocess.run(caught.value.hint, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with closing(opened(path)) as db:
        names = [row["name"] for row in db.rows("SELECT name FROM models ORDER BY name")]
        assert 300 < len(names) < 400
        assert {"model 000", "model 399"} < set(names)
        assert db.rows("SELECT name FROM _migrations")[0][0] == "m001_lineage"
        with pytest.raises(StorageFault, match="append-only"), db.transaction():
            db.rows("DELETE FROM models")
    kept = path.parent / "topcoat-damaged" / "topcoat.db"
    assert kept.read_bytes()[page : page + 4096] == b"\xff" * 4096


@needs_sqlite3
def test_the_hint_leaves_a_file_of_which_nothing_can_be_read(path: Path) -> None:
    opened(path).close()
    damage(path, "not a database")
    with pytest.raises(StorageFault, match="is damaged") as caught:
        opened(path)
    assert caught.value.hint is not None
    done = subprocess.run(caught.value.hint, shell=True, capture_output=True, check=False)
    assert done.returncode != 0
    assert path.read_bytes() == b"hello " * 100


@needs_sqlite3
def test_a_damaged_record_is_named_and_the_hint_shows_its_row(db: Database) -> None:
    fill(db)
    with pytest.raises(StorageFault, match=r"the CategoryScore in row 1 of results can't be read: category:") as caught:
        db.record(CategoryScore, '{"n": 1}', "results", 1)
    assert caught.value.hint is not None
    shown = subprocess.run(caught.value.hint, shell=True, capture_output=True, text=True, check=True).stdout
    assert shown == "1|{}|2026-01-01T00:00:00+00:00\n"


def test_a_file_of_another_program_is_not_written_to(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(StorageFault, match="not topcoat's") as caught:
        opened(path)
    assert caught.value.hint == f"mv {path} {path}.other"
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    raw.close()


@pytest.mark.parametrize("change", ["DROP TABLE models", "ALTER TABLE models RENAME COLUMN digest TO sum"])
def test_what_another_version_changed_is_not_called_damaged(path: Path, change: str) -> None:
    opened(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(change)
    with (
        pytest.raises(StorageFault, match="other tables than its list of migrations") as caught,
        closing(opened(path)) as db,
    ):
        db.rows("SELECT digest FROM models")
    assert "sqlite3" not in str(caught.value.hint)


def test_a_full_disk_is_a_storage_fault_and_nothing_is_written(db: Database) -> None:
    db.rows(f"PRAGMA max_page_count={db.rows('PRAGMA page_count')[0][0]}")

    def fill_up() -> None:
        with db.transaction():
            db.insert("models", name="small", digest="d", path="p", root="m", created="now")
            db.insert("models", name="m", digest="d" * 100_000, path="p", root="m", created="now")

    with pytest.raises(StorageFault, match="no space left"):
        fill_up()
    assert db.rows("SELECT * FROM models") == []


def test_another_writer_is_waited_for_and_then_refused(path: Path) -> None:
    first, second = opened(path), opened(path, busy_seconds=0.05)
    try:
        with first.transaction():
            assert second.rows("SELECT * FROM models") == []  # reading goes on
            with pytest.raises(Refused, match="being written"), second.transaction():
                pytest.fail("the block must not run")
        fill(second)
    finally:
        first.close()
        second.close()


def test_a_path_that_cannot_be_opened_is_a_storage_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault):
        opened(tmp_path / "file/topcoat.db")
    (tmp_path / "topcoat.db").mkdir()
    with pytest.raises(StorageFault):
        opened(tmp_path / "topcoat.db")


@pytest.mark.parametrize("state", ["closed", "of version 0.1", "with a log", "absent"])
def test_a_place_that_can_t_be_written_is_read_and_left_as_it_is(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    path.parent.mkdir()
    names = ["m"]
    with ExitStack() as still_open:
        if state == "of version 0.1":
            shutil.copy(PROJECT / ".topcoat" / "topcoat.db", path)
            with closing(opened(Path(shutil.copy(path, tmp_path / "copy.db")))) as database:
                names = [row["name"] for row in database.rows("SELECT name FROM models")]
        elif state != "absent":
            writer = opened(path)
            still_open.callback(writer.close)
            fill(writer)
            if state == "closed":
                still_open.close()
        else:
            names = []
        before = {file: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}
        with monkeypatch.context() as patch:
            patch.setattr(os, "access", lambda place, mode: False)
            database = Database(path, LINEAGE_MIGRATIONS, reading=True)
            with closing(database):
                assert [row["name"] for row in database.rows("SELECT name FROM models")] == names
        assert {file: file.read_bytes() for file in before} == before
        assert set(path.parent.iterdir()) <= {*before, path.with_name("topcoat.db-shm")}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_read(path: Path) -> None:
    with closing(opened(path)) as database:
        fill(database)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with closing(Database(path, LINEAGE_MIGRATIONS, reading=True)) as database:
            assert [row["name"] for row in database.rows("SELECT name FROM models")] == ["m"]
        with pytest.raises(StorageFault):
            opened(path)
    finally:
        path.parent.chmod(0o755)
