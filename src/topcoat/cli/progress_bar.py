"""Progress on the terminal: a live bar for people, plain lines where the output is not a terminal."""

from __future__ import annotations

import time
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


class PlainSink:
    """A line when a task begins and ends, and every few seconds between, with rate and estimate."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: Started | None = None
        self._begin = self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def emit(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Started):
            self._started, self._begin, self._last = event, now, now
        elif isinstance(event, Advanced):
            if self._started is not None and now - self._last >= EVERY:
                self._last = now
                self._line(f"{event.name}: {self._figures(event, now)}{_tail(event.detail)}")
        elif isinstance(event, Finished):
            self._line(f"{event.name}: done in {now - self._begin:.1f} s{_tail(event.detail)}")
        else:
            self._line(f"{'warning: ' if event.warning else ''}{event.text}")

    def _figures(self, event: Advanced, now: float) -> str:
        started = self._started
        assert started is not None
        unit = f" {started.unit}s" if started.unit else ""
        rate = (event.done - started.done) / max(1e-9, now - self._begin)
        if started.total is None:
            return f"{event.done}{unit}, {rate:.1f}/s"
        left = (started.total - event.done) / rate if rate else float("inf")
        return f"{event.done}/{started.total}{unit}, {rate:.1f}/s, about {left:.0f} s left"

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
