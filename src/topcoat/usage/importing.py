"""Imports, exports and sums up captured usage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import digest_of
from topcoat.spec.project import find_project
from topcoat.spec.reading.documents import read_documents
from topcoat.store.files import json_text
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import Record
from topcoat.usage.events import Event
from topcoat.usage.formats import FORMATS, Format, detect, dialogues_in, failed_calls, parts_of
from topcoat.usage.log import EventLog
from topcoat.usage.messages import keys_of
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.sessions import Sessions
from topcoat.usage.turns import Spoken, boundaries, events_of

__all__ = ["EventSummary", "ImportedEvents", "export_events", "import_events", "open_log", "summarize_events"]


class EventSummary(Record):
    """The number of captured events, by kind."""

    version: Literal[1] = 1
    path: str
    sessions: int
    events: int
    kinds: dict[str, int]


class ImportedEvents(Record):
    """A finished import. `known` counts events that were stored already, `problems` the lines that can't be read."""

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


def export_events(start: Path) -> Iterator[str]:
    """Every event as a line of JSON, oldest first. Raises `StorageFault`."""
    with open_log(start) as log:
        for event in log.events():
            yield json_text(event.model_dump(mode="json", exclude_defaults=True)) + "\n"


def import_events(start: Path, source: Path, form: str | None = None) -> tuple[ImportedEvents, list[Mistake]]:
    """Store the events of a file, except those that are stored already.

    `form` is one of `FORMATS`, or None to detect it by the keys. Returns the figures, and a mistake for every place
    that can't be read. Raises `InvalidInput` if the file has nothing to keep.
    """
    if form is not None and form not in FORMATS:
        raise InvalidInput(f'there is no format "{form}"', hint=f"--format {' or '.join(FORMATS)}")
    documents, mistakes = read_documents(source)
    chosen = next((known for known in FORMATS if known == form), None) or _detected(documents)
    if chosen is None:
        if mistakes:
            raise InvalidInput.collect(str(source), mistakes)
        if not documents:
            raise InvalidInput("the file is empty", where=Where(source), hint=f"ls -l '{source}'")
        raise _nothing(source, documents, "the keys are those of no known format", [])
    failed = {call: error for document, _ in documents for call, error in failed_calls(document).items()}
    paths = ProjectPaths(find_project(start))
    events, earlier = _Reading(DialogueDigests(paths.dialogue_key).boundaries), _Reading(boundaries)
    for document, where in documents:
        parts = _parts(document, chosen)
        for number, part in enumerate(parts, 1):
            try:
                events.read(part, chosen, failed)
                earlier.read(part, chosen, failed)
            except _MISSHAPEN as error:
                which = f"{number} of {len(parts)}: " if len(parts) > 1 else ""
                mistakes.append(Mistake(f"{which}not {chosen}: {_reason(error)}", where))
    mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
    with open_log(start) as log:
        if not events.found:
            raise _nothing(source, documents, f"nothing to keep, read as {chosen}", mistakes)
        # An earlier version stored the events under other ids, which are made here only to find them again.
        added = [event for event, old in zip(events.found, earlier.found, strict=True) if not log.has(old.id)]
        new = log.add(added)
    problems = [f"{mistake.where}: {mistake.message}" for mistake in mistakes]
    return ImportedEvents(format=chosen, new=new, known=len(events.found) - new, problems=problems), mistakes


_MISSHAPEN = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading a document of another shape raises. A ValidationError is a ValueError."""


def _nothing(
    source: Path, documents: Sequence[tuple[object, Where]], message: str, mistakes: list[Mistake]
) -> InvalidInput:
    """The error for a file that has nothing to keep. It tells the keys that the file has."""
    found = {key: True for document, _ in documents for item in _items(document) for key in item}
    keys = f"; the keys are {keys_of(found)}" if found else ""
    hint = 'write each dialogue as {"messages": [{"role": "user", "content": "..."}, ...]}, one a line'
    return InvalidInput.collect(str(source), [*mistakes, Mistake(message + keys, Where(source), hint)])


def _items(document: object) -> list[dict[str, object]]:
    items = document if isinstance(document, list) else [document]
    return [item for item in items if isinstance(item, dict)]


def _parts(document: object, form: Format) -> list[object]:
    """The parts that are read on their own; the document as it is, if it has another shape."""
    try:
        return [document] if form == "topcoat" else list(parts_of(document, form))
    except _MISSHAPEN:
        return [document]


def _detected(documents: Sequence[tuple[object, Where]]) -> Format | None:
    return next((form for document, _ in documents if (form := detect(document))), None)


@dataclass(slots=True)
class _Reading:
    """The events found so far. `boundaries` gives the digests of a dialogue's turns."""

    boundaries: Callable[[Sequence[Spoken]], list[str]]
    sessions: Sessions = field(default_factory=Sessions)
    found: list[Event] = field(default_factory=list)

    def read(self, document: object, form: Format, failed: Mapping[str, str]) -> None:
        """Add the events of a document that earlier documents don't contain. Raises `ValueError` and its like.

        Their ids contain their place in the dialogue, not the time, so a file without times can be imported twice too.
        """
        if form == "topcoat":
            self.found.append(Event.model_validate(document))
            return
        made: list[Event] = []
        for dialogue in dialogues_in(document, form, failed):
            reached = self.boundaries(dialogue.turns)
            session, known = self.sessions.place(reached, dialogue.session or f"{form}-{reached[-1][:16]}")
            common: dict[str, Any] = {
                "session": session,
                "source": form,
                "model": dialogue.model,
                "branch": dialogue.branch,
            }
            common |= {"time": dialogue.time} if dialogue.time else {}
            for event in events_of(dialogue.turns, reached, known, **common):
                self.sessions.learn(event.after, session)
                place = digest_of([form, session, event.kind, event.before, event.after])
                made.append(event.model_copy(update={"id": place[:32]}))
        self.found += made


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error) if type(error) is ValueError else f"it has another shape ({type(error).__name__})"
