"""A sink for looking at what was reported."""

from __future__ import annotations

from topcoat.progress import Event

__all__ = ["Recorder"]


class Recorder:
    """A sink that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)
