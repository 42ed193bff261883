"""What is counted of an answer, in each API's own words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from topcoat.usage.capture.apis.table import ApiName
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.observing.figures import AnswerFigures, answer_figures


def exchange(answered: ApiName, *documents: dict[str, Any], streamed: bool) -> Exchange:
    lines = "".join(f"data: {json.dumps(document)}\n\n" for document in documents)
    response = lines if streamed else json.dumps(documents[0])
    question = {"model": "m", "messages": [{"role": "user", "content": "q"}], "input": "q"}
    return Exchange(
        datetime.now(UTC), json.dumps(question).encode(), response.encode(), streamed, asked=answered, answered=answered
    )


MESSAGE = {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}]}
CACHED = {"input_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 100, "output_tokens": 2}
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
RESPONSE = {
    "object": "response",
    "status": "completed",
    "output": [ITEM],
    "usage": {"input_tokens": 125, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 9},
}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "tool_calls"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            exchange("messages", {**MESSAGE, "stop_reason": "end_turn", "usage": CACHED}, streamed=False),
            AnswerFigures(125, 2, ("stop",)),
        ),
        (
            exchange(
                "messages",
                {
                    "type": "message_start",
                    "message": {**MESSAGE, "content": [], "usage": {**CACHED, "output_tokens": 1}},
                },
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hi"}},
                {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 9}},
                streamed=True,
            ),
            AnswerFigures(125, 9, ("length",)),
        ),
        (exchange("responses", RESPONSE, streamed=False), AnswerFigures(125, 9, ("stop",))),
        (
            exchange("responses", {"type": "response.completed", "response": RESPONSE}, streamed=True),
            AnswerFigures(125, 9, ("stop",)),
        ),
        (
            exchange(
                "chat", {"choices": [CHOICE, CHOICE], "usage": {"prompt_tokens": 3, "total_tokens": 4}}, streamed=False
            ),
            AnswerFigures(3, None, ("tool_calls", "tool_calls")),
        ),
        (
            exchange(
                "chat", {"choices": [CHOICE], "usage": {"prompt_tokens": -3, "completion_tokens": True}}, streamed=False
            ),
            AnswerFigures(None, None, ("tool_calls",)),
        ),
    ],
    ids=["message", "stream of a message", "response", "stream of a response", "no output", "no counts"],
)
def test_tokens_and_ends_are_read_in_each_api(given: Exchange, expected: AnswerFigures) -> None:
    assert answer_figures(given) == expected
