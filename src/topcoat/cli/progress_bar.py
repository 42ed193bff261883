"""Progress on the terminal: a live bar for people, plain lines where the output is not a terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from topcoat.progress import Advanced, Event, Finished, Note, Started

__all__ = ["LiveSink", "PlainSink", "terminal_sink"]

EVERY = 5.0
"""Seconds between two plain lines of one task."""


def terminal_sink(console: Console) -> LiveSink | PlainSink:
    """The sink that suits the console."""
    return LiveSink(console) if console.is_terminal else PlainSink(console)


@dataclass(slots=True)
class _Running:
    """A task, when it began, and when it last had a line."""

    started: Started
    begin: float
    last: float

    def figures(self, done: int, now: float) -> str:
        """How far the task is. There is no estimate before its first unit is complete."""
        total = self.started.total
        unit = f" {self.started.unit}s" if self.started.unit else ""
        rate = (done - self.started.done) / max(1e-9, now - self.begin)
        count = f"{done}{unit}" if total is None else f"{done}/{total}{unit}"
        left = f", about {(total - done) / rate:.0f} s left" if total is not None and rate > 0 else ""
        return f"{count}, {rate:.1f}/s{left}"


class PlainSink:
    """A line when a task ends, and every few seconds before, with rate and estimate. Tasks may run inside of others."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, _Running] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def emit(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Started):
            self._running[event.name] = _Running(event, now, now)
        elif isinstance(event, Advanced):
            task = self._running.get(event.name)
            if task is not None and now - task.last >= EVERY:
                task.last = now
                self._line(f"{event.name}: {task.figures(event.done, now)}{_tail(event.detail)}")
        elif isinstance(event, Finished):
            begin = task.begin if (task := self._running.pop(event.name, None)) else now
            self._line(f"{event.name}: done in {now - begin:.1f} s{_tail(event.detail)}")
        else:
            self._line(f"{'warning: ' if event.warning else ''}{event.text}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveSink:
    """A bar for each task, with rate, time gone and time left; notes scroll above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("left", style="dim"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def emit(self, event: Event) -> None:
        if isinstance(event, Note):
            style = "yellow" if event.warning else "dim"
            self._progress.console.print(f"[{style}]{escape(event.text)}[/]", highlight=False)
        elif isinstance(event, Started):
            self._begun[event.name] = (time.monotonic(), event.done)
            self._tasks[event.name] = self._progress.add_task(
                event.name, total=event.total, completed=event.done, detail="", rate=""
            )
        elif isinstance(event, Advanced):
            begin, done = self._begun[event.name]
            rate = (event.done - done) / max(1e-9, time.monotonic() - begin)
            self._progress.update(
                self._tasks[event.name], completed=event.done, detail=escape(event.detail), rate=f"{rate:.1f}/s"
            )
        else:
            self._progress.update(self._tasks[event.name], detail=escape(event.detail))
            self._progress.stop_task(self._tasks[event.name])


def _tail(detail: str) -> str:
    return f", {detail}" if detail else ""
