from __future__ import annotations

import errno
import json
import os
import re
import threading
from pathlib import Path

import pytest

from tests.support.lock_holder import held_elsewhere
from topcoat.errors import Refused, StorageFault
from topcoat.store.lock import project_lock, write_lock


def take(path: Path) -> None:
    with project_lock(path, "topcoat eval"):
        pass


def test_a_second_run_is_told_about_the_first(tmp_path: Path) -> None:
    path = tmp_path / ".topcoat/lock"
    with held_elsewhere(path) as holder:
        with pytest.raises(Refused) as caught:
            take(path)
        pid = holder.pid
    pattern = rf"another topcoat is running here: pid {pid}, `topcoat run phase34a`, since \d\d:\d\d"
    assert re.fullmatch(pattern, caught.value.message)
    assert caught.value.hint == f"wait until it ends, then run this again, or end it: kill {pid}"


def test_the_kernel_releases_the_lock_of_a_killed_run(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_elsewhere(path) as holder:
        holder.kill()
        holder.wait()
        assert path.read_text() != ""  # its line is still there, and must not matter
        take(path)


def test_a_run_that_ends_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_elsewhere(path) as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        assert holder.wait() == 0
        take(path)


def test_the_file_says_who_holds_the_lock_and_is_emptied_after(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("x" * 500)
    with project_lock(path, "topcoat eval"):
        holder = json.loads(path.read_text())
        assert holder["pid"] == os.getpid()
        assert holder["command"] == "topcoat eval"
        with pytest.raises(Refused, match=f"pid {os.getpid()}, `topcoat eval`"):
            take(path)
    assert path.read_text() == ""


def test_the_lock_is_released_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ValueError, match="mine"), project_lock(path, "topcoat eval"):
        raise ValueError("mine")
    take(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"pid": "x"}',
        "null",
        '{"pid": 1e999, "host": "h", "command": "c", "started": "2026-01-01T00:00:00+00:00"}',
        '{"pid": 1, "host": "h", "command": "c", "started": "0001-01-01T00:00:00+14:00"}',
        '{"pid": 1, "host": "h", "command": "c", "started": 5}',
    ],
)
def test_a_holder_that_cannot_be_read_is_still_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    with project_lock(path, "topcoat eval"):
        path.write_text(content)
        with pytest.raises(Refused, match=r"^another topcoat is running here$"):
            take(path)


def test_another_machine_and_another_day_are_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with project_lock(path, "topcoat eval"):
        started = "2020-02-03T12:03:00+00:00"
        path.write_text(json.dumps({"pid": 7, "host": "elsewhere", "command": "x", "started": started}))
        with pytest.raises(Refused, match=r"pid 7 on elsewhere, `x`, since 2020-02-0\d \d\d:\d\d$") as caught:
            take(path)
    assert "kill" not in str(caught.value.hint)


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "no space left"), (errno.ENOLCK, "can't lock")])
def test_a_failing_file_system_is_a_storage_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock" if code == errno.ENOLCK else "os.pwrite", fail)
        with pytest.raises(StorageFault, match=message):
            take(tmp_path / "lock")
    take(tmp_path / "lock")


def test_a_lock_that_may_not_be_opened_says_how_to_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "lock"
    path.touch(mode=0o000)
    monkeypatch.setattr(os, "open", refuse)
    with (
        pytest.raises(StorageFault, match=r"can't lock .*Permission denied") as fault,
        project_lock(path, "topcoat run"),
    ):
        pass
    assert fault.value.hint == f"chmod u+rw {path}"
    path.unlink()
    with pytest.raises(StorageFault) as fault, project_lock(path, "topcoat run"):
        pass
    assert fault.value.hint == f"ls -ld {tmp_path}"


def test_a_folder_in_its_place_is_a_storage_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="can't lock"):
        take(tmp_path)


def test_a_writer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / ".topcoat/review-lock"
    order: list[str] = []

    def second() -> None:
        with write_lock(path):
            order.append("second")

    with write_lock(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_a_writer_is_told_that_its_lock_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="can't lock"), write_lock(tmp_path):
        pass
