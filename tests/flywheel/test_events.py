from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from topcoat.flywheel.events import Event

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_equal_events_have_equal_ids() -> None:
    first = Event(session="s", kind="request", time=NOON, query="run the tests")
    assert first.id == Event(session="s", kind="request", time=NOON, query="run the tests").id
    assert first.id != Event(session="s", kind="request", time=NOON, query="run them").id


def test_an_event_survives_json() -> None:
    event = Event(session="s", kind="tool_call", time=NOON, tool="read_file", arguments={"path": "x", "lines": [1, 2]})
    assert Event.model_validate_json(event.model_dump_json()) == event


@pytest.mark.parametrize("field", [{"session": ""}, {"kind": "guess"}, {"unheard": 1}, {"time": datetime(2026, 1, 1)}])
def test_what_is_no_event_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Event.model_validate({"session": "s", "kind": "request", **field})
