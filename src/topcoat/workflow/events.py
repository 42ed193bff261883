"""Captured usage: brought in from files, written out, summed up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from topcoat.errors import Mistake
from topcoat.flywheel.events import Event
from topcoat.flywheel.log import EventLog
from topcoat.records import Record
from topcoat.spec.loader import read_jsonl
from topcoat.spec.project import find_project
from topcoat.store.files import json_text, write_text
from topcoat.store.paths import ProjectPaths

__all__ = ["EventSummary", "ImportedEvents", "export_events", "import_events", "open_log", "summarize_events"]


class EventSummary(Record):
    """What was captured so far: events by kind."""

    version: Literal[1] = 1
    path: str
    sessions: int
    events: int
    kinds: dict[str, int]


class ImportedEvents(Record):
    """A finished import: `known` events were here already, `problems` are the lines that couldn't be read."""

    version: Literal[1] = 1
    format: str
    new: int
    known: int
    problems: list[str]


def open_log(start: Path) -> EventLog:
    """The events of the project around `start`. Raises `InvalidInput` if there is no project, `StorageFault`."""
    return EventLog(ProjectPaths(find_project(start)).events)


def summarize_events(start: Path) -> EventSummary:
    """The figures of the project's events."""
    path = ProjectPaths(find_project(start)).events
    with open_log(start) as log:
        kinds = Counter(event.kind for event in log.events())
        return EventSummary(
            path=str(path), sessions=len(log.sessions()), events=kinds.total(), kinds=dict(kinds.most_common())
        )


def export_events(start: Path, target: Path) -> int:
    """Write every event to a JSONL file; says how many. Raises `StorageFault`."""
    with open_log(start) as log:
        lines = [json_text(event.model_dump(mode="json", exclude_defaults=True)) for event in log.events()]
    write_text(target, "".join(f"{line}\n" for line in lines))
    return len(lines)


def import_events(start: Path, source: Path) -> tuple[ImportedEvents, list[Mistake]]:
    """Keep the events of a JSONL file; those that are here already aren't kept twice.

    Gives back the figures, and a mistake for every line that couldn't be read. Raises `InvalidInput` if the file can't
    be read at all.
    """
    lines, mistakes = read_jsonl(source, Event)
    with open_log(start) as log:
        new = log.add(line.value for line in lines)
    problems = [f"{mistake.where}: {mistake.message}" for mistake in mistakes]
    return ImportedEvents(format="topcoat", new=new, known=len(lines) - new, problems=problems), mistakes
