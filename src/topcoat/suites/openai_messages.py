"""A dialogue as OpenAI's chat completions take it: arguments as JSON text, and ids that tie results to their calls.

Data sets write calls in several ways, and most leave the ids out. Chat templates read them all; servers don't.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from topcoat.engine.call_ids import with_call_ids

__all__ = ["openai_messages"]


def openai_messages(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The `turns` of a dialogue in OpenAI's form. Keys that it doesn't know are kept.

    Ids that are missing are the ones with which an engine renders the dialogue, for nearly every chat template.
    """
    written = with_call_ids(turns)
    for message in written:
        if isinstance(calls := message.get("tool_calls"), list) and calls:
            message["tool_calls"] = [_call(call) for call in calls]
            message.setdefault("content", None)
    return written


def _call(call: Any) -> dict[str, Any]:
    """A call with arguments as text."""
    whole = call if isinstance(call, dict) else {}
    function = whole.get("function", whole)
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    named = {"name": function.get("name"), "arguments": text}
    return {"id": whole.get("id"), "type": "function", "function": named}
