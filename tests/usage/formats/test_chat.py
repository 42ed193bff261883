from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.usage.reading import dialogues_of, lines_read

ASKED = [{"role": "user", "content": "Lamps on"}]
TOOLS = [{"type": "function", "function": {"name": "set_lamp", "parameters": {"type": "object"}}}]
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Done."}, "finish_reason": "stop"}], "model": "coat"}
REQUEST = {"messages": ASKED, "tools": TOOLS}


@pytest.mark.parametrize(
    "document",
    [
        {"request": REQUEST, "response": ANSWER},
        {"request": json.dumps(REQUEST), "response": json.dumps(ANSWER)},
        {"request": {"headers": {}, "body": json.dumps(REQUEST)}, "response": {"status_code": 200, "body": ANSWER}},
        {"method": "POST", "url": "/v1/chat/completions", "body": REQUEST, "response": {"body": ANSWER}},
        {"messages": ASKED, "response": ANSWER, "model_parameters": {"tools": TOOLS}},
        {"messages": json.dumps(ASKED), "response": json.dumps(ANSWER), "tools": TOOLS},
    ],
)
def test_a_request_and_its_response_in_the_forms_of_logs(document: dict[str, Any]) -> None:
    form, (dialogue,), report = lines_read([document])
    assert (form, report.mistakes) == ("chat", [])
    assert [(turn.role, turn.content, turn.finish) for turn in dialogue.turns] == [
        ("user", "Lamps on", ""),
        ("assistant", "Done.", "stop"),
    ]
    assert dialogue.tools == TOOLS


def test_the_answers_model_and_the_lines_own_names_are_kept() -> None:
    line = {"session_id": "talk", "branch": "lamps", "start_time": 1793527200, "request": REQUEST, "response": ANSWER}
    (dialogue,) = dialogues_of(line)
    assert (dialogue.session, dialogue.branch, dialogue.model) == ("talk", "lamps", "coat")
    assert dialogue.time is not None
    assert dialogue.time.year == 2026


@pytest.mark.parametrize(
    ("time", "year"),
    [(1793527200, 2026), (1793527200_000, 2026), (1793527200_000_000, 2026), ("1793527200000000000", 2026)],
)
def test_times_are_read_in_every_unit(time: object, year: int) -> None:
    (dialogue,) = dialogues_of({**REQUEST, "timestamp": time})
    assert dialogue.time is not None
    assert dialogue.time.year == year
