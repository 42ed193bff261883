"""Writes structured calls as text, for projects whose model writes its calls into its words (Code Mode)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from topcoat.examples.formats.json_texts import named_call

__all__ = ["with_call_texts"]


def with_call_texts(data: Mapping[str, Any]) -> dict[str, Any]:
    """An example's data with its calls as `<tool_call>` and JSON in the assistant's content, and without their ids."""
    return {**data, "messages": [_turn(turn) for turn in data["messages"]]}


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in turn.items() if key not in ("tool_calls", "tool_call_id")}
    calls = [_written(call["function"]) for call in turn.get("tool_calls", ())]
    return {**kept, "content": "\n".join(filter(None, [turn.get("content"), *calls]))} if calls else kept


def _written(function: Mapping[str, Any]) -> str:
    name, arguments = named_call(function, "tool_calls")
    document = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{document}\n</tool_call>"
