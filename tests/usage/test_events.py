from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from topcoat.usage.events import Event, ToolCall

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


@pytest.mark.parametrize(
    ("arguments", "text", "meant"),
    [
        ('{"a": "é"}', '{"a": "é"}', {"a": "é"}),
        ({"a": "é"}, '{"a": "é"}', {"a": "é"}),
        (None, "{}", {}),
        (" ", " ", {}),
        ('{"a": ', '{"a": ', '{"a": '),
        ("[" * 100_000, "[" * 100_000, "[" * 100_000),
    ],
)
def test_a_call_keeps_its_arguments_as_text_and_knows_what_they_mean(arguments: object, text: str, meant: Any) -> None:
    call = ToolCall.given(None, "read", arguments)
    assert (call.id, call.name, call.arguments, call.meant) == ("", "read", text, meant)
