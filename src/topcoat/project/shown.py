"""Finds out what a base's chat template shows of tools and calls, by rendering with them and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topcoat.engine.protocol import Tokenizer
from topcoat.errors import InvalidInput

__all__ = ["Shown", "shown_by"]

_NAME = "probe_of_topcoat"
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
_CALL = {"id": "call00000", "type": "function", "function": {"name": _NAME, "arguments": {"place": "here"}}}
_ASKED: dict[str, Any] = {"role": "user", "content": "Look."}


@dataclass(frozen=True, slots=True)
class Shown:
    """Whether a chat template shows the tools that it is given, and the calls of a turn."""

    tools: bool = True
    calls: bool = True


def shown_by(tokenizer: Tokenizer) -> Shown:
    """What the tokenizer's chat template shows. A template that refuses tools or calls doesn't show them.

    Some show tools inside of the system turn, and a new project has one; others take no system turn.
    """
    system = {"role": "system", "content": "Look where you are asked to."}
    called: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
    return Shown(
        tools=any(_NAME in _rendered(tokenizer, turns, [_TOOL]) for turns in ([system, _ASKED], [_ASKED])),
        calls=_NAME in _rendered(tokenizer, [_ASKED, called], None),
    )


def _rendered(tokenizer: Tokenizer, turns: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
    try:
        return tokenizer.render(turns, tools=tools)
    except InvalidInput:
        return ""
