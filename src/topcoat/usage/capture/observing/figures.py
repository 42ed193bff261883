"""Reads of an exchange what is counted: how many tokens, and why the answer ended. It keeps no text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from topcoat.usage.capture.apis.server_events import documents
from topcoat.usage.capture.exchange import Exchange

__all__ = ["FINISHES", "AnswerFigures", "answer_figures"]

FINISHES = ("stop", "length", "tool_calls", "content_filter", "cut")
"""Why an answer ended, in chat completions' words. Servers have others, which are counted as "other"."""
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""What the Messages API doesn't count as input tokens."""


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """The figures of one exchange. Tokens are None if the server doesn't say them."""

    input_tokens: int | None
    output_tokens: int | None
    finishes: tuple[str, ...]


def answer_figures(exchange: Exchange) -> AnswerFigures:
    """The figures of an exchange. Raises anything if the answer is none of its API: a server may send what it likes."""
    usage: dict[str, int] = {}
    for found in _usages(exchange):
        usage |= {key: value for key, value in found.items() if type(value) is int and value >= 0}
    asked = usage.get("prompt_tokens", usage.get("input_tokens"))
    if asked is not None and exchange.answered == "messages":
        asked += sum(usage.get(key, 0) for key in _CACHED)
    finishes = tuple(one.finish if one.finish in FINISHES else "other" for one in exchange.answers())
    return AnswerFigures(asked, usage.get("completion_tokens", usage.get("output_tokens")), finishes)


def _usages(exchange: Exchange) -> Iterator[Mapping[str, Any]]:
    """The counts of an answer, in order. A stream may have several: Messages says them at its begin and at its end."""
    for document in documents(exchange.response) if exchange.streamed else [json.loads(exchange.response)]:
        for holder in (document, document.get("message"), document.get("response")):
            found = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(found, dict):
                yield found
