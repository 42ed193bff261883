"""What long work reports while it runs. Nothing here prints: a `Sink` decides what a person or a program sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Advanced", "Event", "Finished", "Note", "Silent", "Sink", "Started", "Task", "task"]


@dataclass(frozen=True, slots=True)
class Started:
    """A task begins: `total` units of `unit` (None when unknown); `done` of them were done by an earlier run."""

    name: str
    total: int | None = None
    unit: str = ""
    done: int = 0


@dataclass(frozen=True, slots=True)
class Advanced:
    """`done` units of the task are complete; `detail` is a short figure such as a loss."""

    name: str
    done: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The task is complete; `detail` is its result in a few words."""

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the user should know once. `warning` makes it stand out."""

    text: str
    warning: bool = False


Event = Started | Advanced | Finished | Note


class Sink(Protocol):
    """Takes events in order, from one thread."""

    def emit(self, event: Event, /) -> None: ...


class Silent:
    """Drops everything."""

    def emit(self, event: Event, /) -> None:
        pass


@dataclass(slots=True)
class Task:
    """A running task; hands its progress to the sink."""

    sink: Sink
    name: str
    result: str = ""

    def advance(self, done: int, detail: str = "") -> None:
        self.sink.emit(Advanced(self.name, done, detail))


@contextmanager
def task(sink: Sink, name: str, *, total: int | None = None, unit: str = "", done: int = 0) -> Iterator[Task]:
    """Report a task's start, and its end if it gets there. Set `task.result` for the closing words."""
    sink.emit(Started(name, total, unit, done))
    running = Task(sink, name)
    yield running
    sink.emit(Finished(name, running.result))
