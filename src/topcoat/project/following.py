"""What a command that holds the project does, written while it runs, so that another process can follow it.

`.topcoat/progress.jsonl` has a line for each event since the latest such command began. Only the holder of the
project's lock writes it. It isn't flushed to the disk: after a crash of the machine nobody follows.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from topcoat.progress import Advanced, Event, Finished, Note, Sink, Started

__all__ = ["FollowedTask", "Following", "follow", "followed"]

_EVERY = 0.2
"""Seconds between two lines about the progress of one task. Those between are left out, so a curve has fewer points."""
_FIGURE = re.compile(r"\b(loss|valid) (-?[\d.]+(?:e[+-]?\d+)?)")


@contextmanager
def followed(sink: Sink, path: Path, command: str) -> Iterator[Sink]:
    """A sink that passes everything on to `sink` and writes it to `path`. The caller holds the project's lock."""
    try:
        file: IO[str] | None = path.open("w", encoding="utf-8")
    except OSError as error:
        sink.emit(Note(f"this command can't be followed: {path}: {error.strerror or error}", warning=True))
        file = None
    writer = _Writer(sink, file, path)
    writer.write(began=command, pid=os.getpid())
    try:
        yield writer
    except BaseException as error:
        writer.write(over=str(error) or type(error).__name__)
        raise
    else:
        writer.write(over="")
    finally:
        if file is not None:
            file.close()


@dataclass(slots=True)
class _Writer:
    """Writes each event as a line. If that fails, it says so once and only passes events on."""

    sink: Sink
    file: IO[str] | None
    path: Path
    _written: dict[str, float] = field(default_factory=dict)

    def emit(self, event: Event) -> None:
        self.sink.emit(event)
        match event:
            case Started():
                self.write(task=event.name, total=event.total, unit=event.unit, done=event.done)
            case Advanced():
                now = time.monotonic()
                if now - self._written.get(event.name, 0.0) >= _EVERY:
                    self._written[event.name] = now
                    self.write(task=event.name, done=event.done, detail=event.detail)
            case Finished():
                self.write(task=event.name, ended=event.detail)
            case Note():
                self.write(note=event.text, warning=event.warning)

    def write(self, **fields: object) -> None:
        if self.file is None:
            return
        try:
            self.file.write(json.dumps({"at": time.time(), **fields}) + "\n")
            self.file.flush()
        except OSError as error:
            self.file = None
            said = f"this command can no longer be followed: {self.path}: {error.strerror or error}"
            self.sink.emit(Note(said, warning=True))


@dataclass(slots=True)
class FollowedTask:
    """A task: what is done of it, since when, and its figures. Times are in seconds since 1970."""

    name: str
    total: int | None
    unit: str
    first: int
    done: int
    began: float
    latest: float
    detail: str = ""
    over: bool = False

    @property
    def seconds_left(self) -> float | None:
        """What the rest takes at the rate so far; None before the first unit, or if nobody knows the total."""
        done, seconds = self.done - self.first, self.latest - self.began
        if self.over or self.total is None or done <= 0 or seconds <= 0:
            return None
        return (self.total - self.done) * seconds / done


@dataclass(slots=True)
class Following:
    """A command that runs or ran. `over` is None until it ends, then "" or why it failed.

    `losses` and `validations` are the points (update, loss) of the latest training, as far as they were written.
    """

    command: str = ""
    pid: int = 0
    began: float = 0.0
    over: str | None = None
    tasks: list[FollowedTask] = field(default_factory=list)
    notes: list[tuple[str, bool]] = field(default_factory=list)
    losses: list[tuple[float, float]] = field(default_factory=list)
    validations: list[tuple[float, float]] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Whether the command is at work: it hasn't said its end, and its process lives."""
        return self.over is None and self.pid > 0 and _is_alive(self.pid)


def follow(path: Path) -> Following | None:
    """What the latest command wrote so far. None if none did."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    found = Following()
    for line in lines[:-1]:  # behind the last end of a line stands nothing, or half a line
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("at"), float):
            _take(found, event)
    return found if found.command else None


def _take(found: Following, event: dict[str, Any]) -> None:
    if "began" in event:
        found.command, found.pid, found.began = str(event["began"]), int(event.get("pid", 0)), event["at"]
    elif "over" in event:
        found.over = str(event["over"])
    elif "note" in event:
        found.notes.append((str(event["note"]), bool(event.get("warning"))))
    elif "task" in event:
        _take_task(found, event)


def _take_task(found: Following, event: dict[str, Any]) -> None:
    name, at = str(event["task"]), event["at"]
    if "total" in event:
        if name == "train":
            found.losses, found.validations = [], []
        done = int(event["done"])
        found.tasks.append(FollowedTask(name, event["total"], str(event["unit"]), done, done, at, at))
        return
    task = next((task for task in reversed(found.tasks) if task.name == name), None)
    if task is None:
        return
    task.latest = at
    if "ended" in event:
        task.over, task.detail = True, str(event["ended"]) or task.detail
        task.done = task.done if task.total is None else task.total
        return
    task.done, task.detail = int(event["done"]), str(event["detail"])
    if name == "train":
        figures = {key: float(value) for key, value in _FIGURE.findall(task.detail)}
        _add_point(found.losses, task.done, figures.get("loss"))
        _add_point(found.validations, task.done, figures.get("valid"))


def _add_point(points: list[tuple[float, float]], update: int, loss: float | None) -> None:
    """A validation's loss is repeated until the next one, so only another value is a new point."""
    if loss is not None and (not points or points[-1][1] != loss):
        points.append((float(update), loss))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
