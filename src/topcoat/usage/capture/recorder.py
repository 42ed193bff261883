"""Records in the background: a queue, and one thread that writes. The caller never sees an error.

`put` returns at once. Its future is done when the job is written, or when writing fails and would have to be awaited.

While the database is locked or the disk is full, jobs wait in the queue, up to a limit. Jobs beyond the limit, and
those that still wait at the end, are lost and counted.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

from topcoat.errors import TopcoatError
from topcoat.spec.project import SHAPES, CaptureSection
from topcoat.store.records import Record
from topcoat.usage.events import Event
from topcoat.usage.log import EventLog
from topcoat.usage.privacy.personal import require_libraries
from topcoat.usage.sessions import Sessions

__all__ = ["Recorder", "RecordingFigures"]

Job = Callable[[Sessions], Sequence[Event]]
"""Makes events, in the writing thread. A `ValueError` says what can't be read."""

_REMEMBERED = 20_000
_BUSY_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def _described(error: Exception) -> str:
    """An error without its message, which may hold what couldn't be read, secrets included: its kind and its place."""
    if isinstance(error, json.JSONDecodeError):
        return f"an exchange is not JSON at line {error.lineno}, column {error.colno}"
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" in {Path(frame.filename).name}, line {frame.lineno}" for frame in place)
    return f"an exchange is no dialogue ({type(error).__name__}{where})"


class RecordingFigures(Record):
    """How many jobs were recorded, wait or are lost. `problem` is the last one, "" if there was none.

    `gone` were recorded in a file that was then deleted or replaced.
    """

    version: Literal[1] = 1
    kept: int = 0
    waiting: int = 0
    lost: int = 0
    problem: str = ""
    gone: int = 0


class Recorder:
    """Writes events to `path` from a thread of its own. Call `close` from the thread that made it.

    Raises `Refused` if `capture` keeps results and a library that finds personal data isn't installed.
    """

    def __init__(self, path: Path, *, most_waiting_bytes: int = 256_000_000, capture: CaptureSection = SHAPES) -> None:
        if capture.results == "keep":
            require_libraries()
        self._path = path
        self._capture = capture
        self._limit = most_waiting_bytes
        self._jobs: deque[tuple[Job, int, Future[None]]] = deque()
        self._failing = False
        self._bytes = 0
        self._kept = self._lost = self._gone = 0
        self._problem = ""
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="topcoat-recorder", daemon=True)
        self._thread.start()

    def put(self, job: Job, size: int) -> Future[None]:
        """Add `job` to the queue. `size` is about how many bytes it keeps in memory until it is written.

        The future is done when the job is written or lost, and at once while writing fails.
        """
        done: Future[None] = Future()
        with self._changed:
            if self._closing or self._bytes + size > self._limit:
                self._lost += 1
                self._problem = self._problem or "too much was waiting to be written"
                done.set_result(None)
                return done
            if self._failing:
                done.set_result(None)
            self._jobs.append((job, size, done))
            self._bytes += size
            self._changed.notify_all()
        return done

    def figures(self) -> RecordingFigures:
        with self._changed:
            return RecordingFigures(
                kept=self._kept, waiting=len(self._jobs), lost=self._lost, problem=self._problem, gone=self._gone
            )

    def close(self, patience: float = 10.0) -> RecordingFigures:
        """Write the waiting jobs for at most `patience` seconds. The rest is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(patience)
        with self._changed:
            self._lost += len(self._jobs)
            self._let_go()
            self._jobs.clear()
        return self.figures()

    def _work(self) -> None:
        log: EventLog | None = None
        sessions = Sessions()
        pause = _FIRST_PAUSE
        while (job := self._next()) is not None:
            try:
                log = self._unless_removed(log)
                if log is None:
                    log = EventLog(self._path, busy_seconds=_BUSY_SECONDS, capture=self._capture)
                    sessions = Sessions(log.ends(_REMEMBERED))
                events = job(sessions)
                log.add(events)
            except TopcoatError as error:  # the file can't be written now: try the same job again later
                if self._wait(error.message, pause):
                    break
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            except Exception as error:  # a client may send anything: continue with the next job
                self._done(lost=_described(error))
                continue
            for event in events:
                if event.after:
                    sessions.learn(event.after, event.session)
            pause = _FIRST_PAUSE
            self._done()
        log = self._unless_removed(log)
        if log is not None:
            log.close()

    def _unless_removed(self, log: EventLog | None) -> EventLog | None:
        """The open log. If its file was deleted or replaced, close it and count what was written to it."""
        if log is None or log.is_in_place():
            return log
        log.close()
        with self._changed:
            said = f"{self._path} was deleted or replaced: {self._kept} recorded before are not in it"
            self._gone, self._kept, self._problem = self._gone + self._kept, 0, said
        return None

    def _next(self) -> Job | None:
        """The first job, which stays in the queue until it is written. None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            return self._jobs[0][0] if self._jobs else None

    def _let_go(self) -> None:
        """Let nobody wait for the jobs in the queue any longer."""
        for _, _, done in self._jobs:
            if not done.done():
                done.set_result(None)

    def _done(self, *, lost: str = "") -> None:
        with self._changed:
            if not self._jobs:  # given up by `close`
                return
            _, size, done = self._jobs.popleft()
            self._bytes -= size
            self._failing = False
            if not done.done():
                done.set_result(None)
            self._kept, self._lost = (self._kept, self._lost + 1) if lost else (self._kept + 1, self._lost)
            self._problem = lost or self._problem

    def _wait(self, problem: str, seconds: float) -> bool:
        """Wait for some time. True if nothing is left to write."""
        with self._changed:
            self._problem = problem
            self._failing = True
            self._let_go()
        time.sleep(seconds)
        with self._changed:
            return self._closing and not self._jobs
