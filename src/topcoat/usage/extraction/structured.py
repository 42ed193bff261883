"""Writes the calls of captured answers as structure, for projects whose models call tools natively.

A chat template then renders them in the model's own dialect, as it renders the served dialogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from topcoat.calls.answer import Call
from topcoat.calls.markup import words_before_calls
from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent

__all__ = ["structured"]


def structured(messages: Sequence[Mapping[str, Any]], agent: Agent) -> list[dict[str, Any]]:
    """The turns with `tool_calls` instead of calls in their text. Each result names the call that it answers."""
    return list(_turns(messages, agent))


def _turns(messages: Sequence[Mapping[str, Any]], agent: Agent) -> Iterator[dict[str, Any]]:
    made = 0
    waiting: list[dict[str, Any]] = []
    for message in messages:
        text = message["content"]
        if message["role"] == "assistant" and (calls := parse(text, agent).calls):
            waiting = [_call(call, made + place) for place, call in enumerate(calls, 1)]
            made += len(waiting)
            weight = {"weight": message["weight"]} if "weight" in message else {}
            yield {"role": "assistant", "content": words_before_calls(text), "tool_calls": [*waiting], **weight}
        elif message["role"] == "tool" and waiting:
            answered = waiting.pop(0)
            yield {
                "role": "tool",
                "tool_call_id": answered["id"],
                "name": answered["function"]["name"],
                "content": text,
            }
        else:
            yield dict(message)


def _call(call: Call, number: int) -> dict[str, Any]:
    """A call in OpenAI's form. Its id has nine characters: Mistral's chat templates take no other."""
    function = {"name": call.tool, "arguments": dict(call.kwargs)}
    return {"id": f"call{number:05d}", "type": "function", "function": function}
