from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from topcoat.usage.capture import recorder as recorder_module
from topcoat.usage.capture.recorder import Recorder
from topcoat.usage.events import Event
from topcoat.usage.log import EventLog
from topcoat.usage.sessions import Sessions


def said(query: str) -> Callable[[Sessions], list[Event]]:
    return lambda _: [Event(session="s", kind="request", query=query)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    EventLog(tmp_path / "events.db").close()
    return tmp_path / "events.db"


def queries(path: Path) -> list[str | None]:
    with EventLog(path) as log:
        return [event.query for event in log.events()]


def test_everything_is_kept_in_order(path: Path) -> None:
    recorder = Recorder(path)
    for number in range(50):
        recorder.put(said(str(number)), 1)
    figures = recorder.close()
    assert (figures.kept, figures.lost, figures.waiting, figures.problem) == (50, 0, 0, "")
    assert queries(path) == [str(number) for number in range(50)]


def test_what_comes_while_the_database_is_locked_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_BUSY_SECONDS", 0.01)
    recorder = Recorder(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        recorder.put(said("a"), 1)
        recorder.put(said("b"), 1)
        wait_for(lambda: "written by another program" in recorder.figures().problem)  # one attempt has failed
        assert recorder.figures().waiting == 2
        other.execute("ROLLBACK")
    figures = recorder.close()
    assert (figures.kept, figures.lost) == (2, 0)
    assert queries(path) == ["a", "b"]


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_what_is_still_waiting_at_the_end_is_counted(path: Path) -> None:
    recorder = Recorder(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            recorder.put(said(str(number)), 1)
        figures = recorder.close(patience=1.5)
    assert (figures.kept, figures.lost) == (0, 3)
    assert "written by another program" in figures.problem


def test_what_is_too_much_to_wait_is_lost_and_counted(path: Path) -> None:
    go = threading.Event()

    def slow(_: Sessions) -> list[Event]:
        go.wait(10)
        return []

    recorder = Recorder(path, most_waiting_bytes=10)
    recorder.put(slow, 8)
    recorder.put(said("too much"), 8)
    go.set()
    figures = recorder.close()
    assert (figures.kept, figures.lost, queries(path)) == (1, 1, [])


def test_what_cannot_be_read_does_not_stop_the_rest(path: Path) -> None:
    def broken(_: Sessions) -> list[Event]:
        raise KeyError("choices")

    recorder = Recorder(path)
    recorder.put(broken, 1)
    recorder.put(said("b"), 1)
    figures = recorder.close()
    assert (figures.kept, figures.lost, figures.problem) == (1, 1, figures.problem)
    assert figures.problem.startswith("an exchange is no dialogue (KeyError in test_recorder.py, line ")
    assert queries(path) == ["b"]


@pytest.mark.slow
def test_a_full_disk_stops_nothing_and_is_said(path: Path) -> None:
    # A limit on the size of files in a process of its own: SQLite meets it as it meets the end of a disk.
    program = f"""
import resource, signal
from pathlib import Path
from topcoat.usage.events import Event
from topcoat.usage.capture.recorder import Recorder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recorder = Recorder(Path({str(path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
for n in range(4):
    recorder.put(lambda _, n=n: [Event(session="s", kind="request", query=str(n) * 20_000)], 1)
print(recorder.close(patience=2).model_dump_json())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert '"lost":0' not in done.stdout
    assert '"problem":""' not in done.stdout
    assert done.stderr == ""
    assert 1 <= len(queries(path)) < 4


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_is_removed_meanwhile_is_noticed_and_made_again(path: Path, how: str) -> None:
    recorder = Recorder(path)
    recorder.put(said("before"), 1)
    wait_for(lambda: recorder.figures().kept == 1)
    for file in path.parent.glob("events.db*") if how == "deleted" else [path]:
        file.unlink()
    if how == "replaced":
        path.write_bytes(b"")
    recorder.put(said("after"), 1)
    figures = recorder.close()
    assert (figures.kept, figures.gone, figures.lost) == (1, 1, 0)
    assert "was deleted or replaced: 1 recorded before are not in it" in figures.problem
    assert queries(path) == ["after"]


def test_a_file_that_is_removed_at_the_end_is_noticed(path: Path) -> None:
    recorder = Recorder(path)
    recorder.put(said("before"), 1)
    wait_for(lambda: recorder.figures().kept == 1)
    path.unlink()
    figures = recorder.close()
    assert (figures.kept, figures.gone) == (0, 1)
