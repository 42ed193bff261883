"""Training examples of the leaderboard's questions: what a right answer calls, or words where no tool fits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["WORDS", "example_of", "right_calls"]

WORDS = "None of these tools can do that."
"""The answer where no tool fits."""

Call = dict[str, dict[str, Any]]


def example_of(row: Mapping[str, Any], calls: Sequence[Call], system: str) -> dict[str, Any]:
    """A dialogue of the question `row`, with its tools, that ends with `calls`; with words if there are none.

    It begins with the question's own system prompt, if it has one, else with `system`. A question that is one quotation
    loses its marks: topcoat's check takes what is quoted for a name, so that all such questions look alike.
    """
    asked = row.get("messages") or [{"role": "user", "content": _unquoted(row["prompt"])}]
    answer: dict[str, Any] = {"role": "assistant", "content": "" if calls else WORDS}
    if calls:
        answer["tool_calls"] = [
            {"type": "function", "function": {"name": name, "arguments": arguments}}
            for call in calls
            for name, arguments in call.items()
        ]
    turns = [{"role": "system", "content": row.get("system") or system}, *asked, answer]
    return {"messages": turns, "category": row["category"], "tools": row["tools"]}


def _unquoted(text: str) -> str:
    inner = text.strip()[1:-1]
    return inner if text.strip() == f'"{inner}"' and '"' not in inner else text


def right_calls(truth: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]], question: str) -> list[Call]:
    """The calls of the ground truth with its first alternatives.

    Where an argument may be left out, it is given only if the question names its value.
    """
    return [{name: _chosen(arguments, question) for name, arguments in call.items()} for call in truth]


def _chosen(alternatives: Mapping[str, Sequence[Any]], question: str) -> dict[str, Any]:
    made = {}
    for name, values in alternatives.items():
        given = [value for value in values if value != ""]
        if given and ("" not in values or _is_named(given[0], question)):
            made[name] = _plain(given[0], question)
    return made


def _is_named(value: Any, question: str) -> bool:
    """Whether the question has the value's own text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return not isinstance(value, bool) and text.lower() in question.lower()


def _plain(value: Any, question: str) -> Any:
    """The alternative of an object or of a list of objects, whose values are alternatives again, as a plain value."""
    if isinstance(value, dict) and all(isinstance(part, list) for part in value.values()):
        return _chosen(value, question)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [_plain(item, question) for item in value]
    return value
