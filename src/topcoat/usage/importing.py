"""Imports, exports and sums up captured usage. What other tools logged becomes events, each stored once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import digest_of
from topcoat.spec.project import PROJECT_FILE, CaptureSection, capture_around, find_project
from topcoat.store.files import json_text
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import Record
from topcoat.usage.events import Event
from topcoat.usage.formats.dialogue import MISSHAPEN, Dialogue, Document, Report, reason_of
from topcoat.usage.formats.sessions.opencode import is_piece
from topcoat.usage.formats.table import EVENTS, FORMATS, dialogues_in, grouped
from topcoat.usage.log import EventLog
from topcoat.usage.messages import keys_of
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.privacy.personal import require_libraries
from topcoat.usage.sessions import Sessions
from topcoat.usage.sources import documents_of, files_of
from topcoat.usage.turns import boundaries, events_of

__all__ = ["EventSummary", "ImportedEvents", "export_events", "import_events", "open_log", "summarize_events"]

_HINT = 'write each dialogue as {"messages": [{"role": "user", "content": "..."}, ...]}, one a line'
_WITHOUT_KEYS = ("chat", "otel", "pydantic-ai")
"""The formats whose events an earlier version stored under ids that were made without a key."""


_SERVED = "serve"
"""The source of the events that `topcoat serve` captured."""


class EventSummary(Record):
    """The number of captured events, by kind. `keeping` counts those that were stored with `results = "keep"`."""

    version: Literal[1] = 1
    path: str
    sessions: int
    events: int
    kinds: dict[str, int]
    keeping: int = 0


class ImportedEvents(Record):
    """A finished import. `known` counts events that were stored already, `problems` the places that can't be read.

    `passed` counts what has no turns of a dialogue (or what no dialogue needs), by its name, and `files` the files in
    which something was found.
    """

    version: Literal[1] = 1
    format: str
    new: int
    known: int
    problems: list[str]
    files: int = 1
    passed: dict[str, int] = Field(default_factory=dict)


def open_log(start: Path) -> EventLog:
    """The events of the project around `start`. Raises `InvalidInput` if there is no project, `StorageFault`."""
    return EventLog(ProjectPaths(find_project(start)).events)


def summarize_events(start: Path) -> EventSummary:
    """The figures of the project's events."""
    path = ProjectPaths(find_project(start)).events
    with open_log(start) as log:
        kinds: Counter[str] = Counter()
        keeping = 0
        for event in log.events():
            kinds[event.kind] += 1
            keeping += event.results == "keep"
        return EventSummary(
            path=str(path),
            sessions=len(log.sessions()),
            events=kinds.total(),
            kinds=dict(kinds.most_common()),
            keeping=keeping,
        )


def export_events(start: Path) -> Iterator[str]:
    """Every event as a line of JSON, oldest first. Raises `StorageFault`."""
    with open_log(start) as log:
        for event in log.events():
            yield json_text(event.model_dump(mode="json", exclude_defaults=True)) + "\n"


def import_events(start: Path, source: Path, form: str | None = None) -> tuple[ImportedEvents, list[Mistake]]:
    """Store the events of a file, or of all files in a folder, except those that are stored already.

    `form` is one of `FORMATS`, or None to find it by the content of each file. Returns the figures, and a mistake for
    every place that can't be read. Raises `InvalidInput` if nothing can be kept.
    """
    if form is not None and form not in FORMATS:
        raise InvalidInput(f'there is no format "{form}"', hint=f"--format {' or '.join(FORMATS)}")
    paths = ProjectPaths(find_project(start))
    files, mistakes, passed = files_of(source)
    if not files:
        message = "the folder has no file that ends with .jsonl, .json or .log"
        raise InvalidInput.collect(str(source), [*mistakes, Mistake(message, Where(source), f"ls -R '{source}'")])
    report = Report(mistakes, passed)
    capture = capture_around(start)
    if capture.results == "keep":
        require_libraries(Where(paths.root / PROJECT_FILE))
    with EventLog(paths.events, capture=capture) as log:
        served = _Served(log.ends_of(_SERVED))
        importing = _Importing(log, DialogueDigests(paths.dialogue_key), capture, report, served)
        pieces: list[Document] = []
        for path in files:
            pieces += importing.read_file(path, form)
        importing.read_pieces(pieces)
    if not importing.files:
        raise InvalidInput.collect(str(source), report.mistakes)
    problems = [f"{mistake.where}: {mistake.message}" for mistake in report.mistakes]
    done = ImportedEvents(
        format=", ".join(importing.formats),
        new=importing.new,
        known=importing.known,
        problems=problems,
        files=importing.files,
        passed={name: count for name, count in report.passed.most_common() if count},
    )
    return done, report.mistakes


class _Served:
    """Where the dialogues that `topcoat serve` captured have events, by the digest of all that was said up to there."""

    def __init__(self, ends: Iterable[tuple[str, str]]) -> None:
        self._sessions: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for reached, session in ends:
            self._sessions[reached][session] = None

    def has(self, event: Event) -> bool:
        """Whether the event's session was captured up to there, so that an event of the same was stored."""
        return event.session in self._sessions.get(event.after, ())

    def session_of(self, reached: Sequence[str], named: str) -> str | None:
        """The session that has most of a dialogue: the one that is `named`, or else the oldest. None if none has any.

        An agent whose requests name no session is captured under another name than its file has.
        """
        for place in reversed(reached):
            if sessions := self._sessions.get(place):
                return named if named in sessions else next(iter(sessions))
        return None


@dataclass(slots=True)
class _Importing:
    """An import under way. `capture` says what is recorded, and has the project's own marks of results."""

    log: EventLog
    digests: DialogueDigests
    capture: CaptureSection
    report: Report
    served: _Served
    sessions: Sessions = field(default_factory=Sessions)
    earlier: Sessions = field(default_factory=Sessions)
    formats: dict[str, None] = field(default_factory=dict)
    new: int = 0
    known: int = 0
    files: int = 0

    def read_file(self, path: Path, form: str | None) -> list[Document]:
        """Store the events of a file. Returns the pieces of sessions that stand in many files."""
        try:
            documents, mistakes = documents_of(path)
        except InvalidInput as error:
            self.report.mistakes += error.mistakes
            return []
        groups = grouped(documents, form)
        if not groups:
            self.report.mistakes += [*mistakes, *_unknown(path, documents, mistakes)]
            return []
        before = len(self.report.mistakes)
        self.report.mistakes += mistakes
        pieces, found = [], 0
        for name, group in groups:
            if name == "opencode" and is_piece(group[0].value):
                pieces += group
            else:
                found += self._store(name, group)
        self.report.mistakes[before:] = sorted(self.report.mistakes[before:], key=_line)
        self.files += bool(found)
        if not found and not pieces:
            names = " and ".join(name for name, _ in groups)
            self.report.mistakes.append(_nothing(path, documents, f"nothing to keep, read as {names}"))
        return pieces

    def read_pieces(self, pieces: Sequence[Document]) -> None:
        """Store the events of sessions whose messages and parts stand in many files."""
        if not pieces:
            return
        found = self._store("opencode", pieces)
        self.files += len({document.where.path for document in pieces}) if found else 0
        if not found:
            self.report.mistakes.append(_nothing(pieces[0].where.path, pieces, "nothing to keep, read as opencode"))

    def _store(self, form: str, documents: Sequence[Document]) -> int:
        """Store the events of documents of one format, and return how many events or dialogues were read."""
        events: list[tuple[Event, bool]] = []
        read = 0
        for found in self._events(documents) if form == EVENTS else self._of_dialogues(form, documents):
            events += found
            read += 1
        new = self.log.add([event for event, stored in events if not stored])
        self.new, self.known = self.new + new, self.known + len(events) - new
        if read:
            self.formats[form] = None
        return read

    def _events(self, documents: Iterable[Document]) -> Iterator[list[tuple[Event, bool]]]:
        for document in documents:
            try:
                event = Event.model_validate(document.value)
            except MISSHAPEN as error:
                self.report.leave_out(document.where, f"not {EVENTS}: {_reason(error)}")
                continue
            yield [(event, False)]

    def _of_dialogues(self, form: str, documents: Sequence[Document]) -> Iterator[list[tuple[Event, bool]]]:
        """The events of each dialogue, each with whether it is stored under another id.

        An earlier version may have stored it, or `topcoat serve` may have captured it.
        """
        for dialogue in dialogues_in(documents, form, self.report):
            try:
                made = self._made(dialogue, form, self.sessions, self.digests.boundaries(dialogue.turns))
                stored = [self.served.has(event) for event in made]
                if form in _WITHOUT_KEYS:
                    ids = [event.id for event in self._made(dialogue, form, self.earlier, boundaries(dialogue.turns))]
                    if len(ids) == len(made):
                        stored = [one or self.log.has(key) for one, key in zip(stored, ids, strict=True)]
            except MISSHAPEN as error:
                self.report.leave_out(dialogue.where or documents[0].where, f"not {form}: {_reason(error)}")
                continue
            yield list(zip(made, stored, strict=True))

    def _made(self, dialogue: Dialogue, form: str, sessions: Sessions, reached: Sequence[str]) -> list[Event]:
        """The events of a dialogue that no earlier dialogue has.

        A dialogue without a name that continues an earlier one is of its session, and one that was captured is of the
        session that has it. The ids contain the places in the dialogue, not the time, so a file without times can be
        imported twice too.
        """
        named = self._clean(dialogue.session)
        session, known = sessions.place(reached, named)
        if not named and not known:
            session = self._clean(dialogue.trace) or f"{form}-{reached[-1][:16]}"
        common: dict[str, Any] = {
            "session": session,
            "source": form,
            "model": dialogue.model,
            "branch": dialogue.branch,
            "results": self.capture.results,
        }
        common |= {"time": dialogue.time} if dialogue.time else {}
        times = {place: time for place, time in zip(reached, dialogue.times, strict=False) if time is not None}
        asked = {end: place for place, end in pairwise(reached)}
        made: list[Event] = []
        found = events_of(dialogue.turns, reached, known, success=self.capture.success, **common)
        served = None if known else self.served.session_of(reached, named)
        if served and not self._has_begun(found[0], form, asked):
            session = served
        for number, event in enumerate(found):
            sessions.learn(event.after, session)
            told: dict[str, Any] = {"session": session}
            told |= {"time": times[event.after]} if event.after in times else {}
            told |= {"tools": dialogue.tools} if dialogue.tools and not known and not number else {}
            made += self._as_stored(_placed(event, form, **told), form, asked.get(event.after, ""))
        return made

    def _has_begun(self, first: Event, form: str, asked: Mapping[str, str]) -> bool:
        """Whether an import stored the first event of a dialogue, when nothing of it had been captured."""
        stored = self._as_stored(_placed(first, form), form, asked.get(first.after, ""))
        return any(self.log.has(event.id) for event in stored)

    def _clean(self, name: str) -> str:
        """A session's name; its digest if it would be stored as a secret, as all such names would be one."""
        personal = self.capture.results == "keep"
        return name if self.digests.is_clean(name, personal=personal) else self.digests.of_name(name)

    def _as_stored(self, event: Event, form: str, asked: str) -> list[Event]:
        """The event; or two, if its question was stored when it had no answer yet. `asked` is the question's place."""
        if event.query is None or (event.answer is None and not event.calls) or asked in ("", event.before):
            return [event]
        nothing: dict[str, Any] = {"answer": None, "calls": [], "reasoning": "", "finish": ""}
        question = _placed(event, form, after=asked, **nothing)
        if not self.log.has(question.id):
            return [event]
        return [question, _placed(event, form, before=asked, system=None, query=None, tools=None)]


def _placed(event: Event, form: str, **fields: Any) -> Event:
    """The event with other fields, and the id of its place in its dialogue."""
    changed = Event.model_validate({**event.model_dump(exclude={"id"}), **fields})
    place = digest_of([form, changed.session, changed.kind, changed.before, changed.after])
    return changed.model_copy(update={"id": place[:32]})


def _unknown(path: Path, documents: Sequence[Document], mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The mistake of a file without a document of a known format. One without any has its own mistakes."""
    if documents:
        return [_nothing(path, documents, "the keys are those of no known format")]
    return [] if mistakes else [Mistake("the file is empty", Where(path), f"ls -l '{path}'")]


def _nothing(path: Path, documents: Sequence[Document], message: str) -> Mistake:
    """The mistake of a file that has nothing to keep. It tells the keys that the file has."""
    found = {key: True for document in documents for item in _items(document.value) for key in item}
    keys = f"; the keys are {keys_of(found)}" if found else ""
    return Mistake(message + keys, Where(path), _HINT)


def _items(document: object) -> list[dict[str, object]]:
    items = document if isinstance(document, list) else [document]
    return [item for item in items if isinstance(item, dict)]


def _line(mistake: Mistake) -> int:
    return (mistake.where.line or 0) if mistake.where else 0


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return reason_of(error)
