from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.usage.conversation import Conversation
from topcoat.usage.log import EventLog
from topcoat.usage.session_list import SessionFilter, SessionList


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Three sessions: plain, corrected on a branch, and merged with awkward texts."""
    path = tmp_path / "events.db"
    with EventLog(path) as log:
        log.add(Conversation("plain").user("Open a.py").answer("It is open.").events)
        log.add(
            Conversation("corrected").user("Close a.py").answer("Done.").reports("user_correction", branch="fix").events
        )
        log.add(Conversation("merged").user('say "100%" of a_b\\c').answer("x").reports("merged").events)
        log.add(Conversation("plain").user("again").reports("accepted", id="late").events)
    return path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (SessionFilter(), ["plain", "merged", "corrected"]),
        (SessionFilter(kind="user_correction"), ["corrected"]),
        (SessionFilter(branch="fix"), ["corrected"]),
        (SessionFilter(branch="fix", kind="merged"), []),
        (SessionFilter(text="OPEN a.py"), ["plain"]),
        (SessionFilter(text='"100%" of'), ["merged"]),
        (SessionFilter(text="a_b\\c"), ["merged"]),
        (SessionFilter(text="aXb"), []),
        (SessionFilter(text="%"), ["merged"]),
        (SessionFilter(text="' OR 1=1 --"), []),
    ],
)
def test_filters_leave_the_sessions_that_they_ask_for(events: Path, wanted: SessionFilter, found: list[str]) -> None:
    with SessionList(events) as sessions:
        assert sessions.found(wanted) == found


def test_a_row_says_what_became_of_a_session(events: Path) -> None:
    with SessionList(events) as sessions:
        plain, corrected = sessions.rows(["plain", "corrected"])
        assert sessions.branches() == ["fix"]
    assert (plain.session, plain.events, plain.outcomes, plain.corrections) == ("plain", 2, "accepted", 0)
    assert (corrected.branch, corrected.outcomes, corrected.corrections) == ("fix", "", 1)
