from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.growth import MOST_TIMES, Shape, times
from tests.support.made_up_secrets import BY_FORM, BY_NAME
from topcoat.errors import Refused, StorageFault
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.log import EventLog

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def event(session: str = "s", **fields: object) -> Event:
    return Event.model_validate({"session": session, "kind": "request", "time": NOON, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def test_events_come_back_as_they_were_and_in_order(path: Path) -> None:
    events = [event(query=f"question {i}", calls=[ToolCall(name="read_file")]) for i in range(5)]
    with EventLog(path) as log:
        assert log.add(events) == 5
        assert list(log.events()) == events


def test_an_event_is_kept_once(path: Path) -> None:
    with EventLog(path) as log:
        assert log.add([event(query="a"), event(query="a"), event(query="b")]) == 2
        assert log.add([event(query="b"), event(query="c")]) == 1
        assert [e.query for e in log.events()] == ["a", "b", "c"]


def test_sessions_are_counted_and_found_by_branch(path: Path) -> None:
    with EventLog(path) as log:
        log.add([event("b", query="1"), event("a", branch="fix"), event("b", query="2")])
        assert log.sessions() == {"b": 2, "a": 1}
        assert log.sessions(branch="fix") == {"a": 1}
        assert list(log.events("a")) == [event("a", branch="fix")]


def test_reading_every_session_takes_linear_time(tmp_path: Path) -> None:
    def read(text: str) -> None:
        with EventLog(tmp_path / f"{len(text)}.db") as log:
            for name in log.sessions():
                assert len(list(log.events(name))) == 1

    sizes = 400, 4000
    for size in sizes:
        with EventLog(tmp_path / f"{size}.db") as log:
            log.add([Event(session=f"session {n}", kind="closed", source="outcome") for n in range(size)])
    assert times(read, Shape("x"), sizes[1]) <= MOST_TIMES


def test_events_are_never_changed(path: Path) -> None:
    with EventLog(path) as log:
        log.add([event()])
    with closing(sqlite3.connect(path)) as raw, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        raw.execute("DELETE FROM events")


def test_a_writer_that_holds_the_file_is_not_waited_for(path: Path) -> None:
    with EventLog(path, busy_seconds=0.01) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused, match="written by another program"):
            log.add([event()])
        other.execute("ROLLBACK")
        assert log.add([event()]) == 1


def test_a_stored_event_that_cannot_be_read_is_named(path: Path) -> None:
    EventLog(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("INSERT INTO events VALUES (1, 'i', 's', '', 'request', '', '', '{}')")
        raw.commit()
    with (
        EventLog(path) as log,
        pytest.raises(StorageFault, match="damaged: the Event in row 1 of events can't be read"),
    ):
        list(log.events())


def test_an_event_of_another_version_is_no_damage(path: Path) -> None:
    EventLog(path).close()
    newer = json.dumps({**event().model_dump(mode="json"), "mood": "good"})
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("INSERT INTO events VALUES (1, 'i', 's', '', 'request', '', '', ?)", (newer,))
    with EventLog(path) as log, pytest.raises(Refused, match=r'another version of topcoat.*the key "mood"'):
        list(log.events())


def test_a_log_of_a_newer_topcoat_is_refused(path: Path) -> None:
    EventLog(path).close()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("INSERT INTO _migrations VALUES ('m002_moods', 'later')")
    with pytest.raises(Refused, match=r"newer topcoat.*m002_moods"):
        EventLog(path)


@pytest.mark.parametrize(("kind", "secret"), BY_FORM + BY_NAME, ids=[kind for kind, _ in BY_FORM + BY_NAME])
def test_no_secret_reaches_the_disk(path: Path, kind: str, secret: str) -> None:
    everywhere = event(
        query=f"use {secret} please",
        system=f"the key:\n{secret}",
        answer=f"print('{secret}')",
        tool=secret,
        arguments={"key": [secret], secret: 1},
        calls=[ToolCall(name="login", arguments=f'{{"key": "{escaped(secret)}"}}')],
        errors=[f"ValueError: {secret} was refused"],
        code=f'login("{secret}")',
        original=secret,
        corrected=secret,
        fields_read=[secret],
        branch=secret,
        spec=secret,
    )
    with EventLog(path) as log:
        log.add([everywhere])
        for file in path.parent.iterdir():
            raw = file.read_bytes()
            for piece in pieces(secret):
                assert piece not in raw, file.name


def escaped(secret: str) -> str:
    """The secret as JSON may spell it: with every character escaped."""
    return "".join(f"\\u{ord(character):04x}" for character in secret)


def pieces(secret: str) -> list[bytes]:
    """Twelve characters from its middle, as they are and escaped."""
    middle = secret[len(secret) // 2 - 3 :][:12].strip()
    return [middle.encode(), escaped(middle).encode()]
