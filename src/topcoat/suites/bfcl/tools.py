"""The leaderboard's functions as tools in OpenAI's form: its types become those of JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["tools_of"]

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
"""The types that have another name in JSON Schema. "any" isn't one: a schema without a type takes any value."""


def tools_of(functions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each of `functions` (`name`, `description`, `parameters`) as a tool. Names stay as they are, dots included."""
    return [
        {"type": "function", "function": {**function, "parameters": _schema(function["parameters"])}}
        for function in functions
    ]


def _schema(schema: Any) -> Any:
    """The JSON Schema of a parameter, of what it holds included. Other keys, such as `default`, stay as they are."""
    if not isinstance(schema, Mapping):
        return schema
    made = dict(schema)
    if isinstance(declared := made.get("type"), str):
        made["type"] = _TYPES.get(declared, declared)
        if declared == "any":
            del made["type"]
    if isinstance(properties := made.get("properties"), Mapping):
        made["properties"] = {name: _schema(part) for name, part in properties.items()}
    for key in ("items", "additionalProperties"):
        if key in made:
            made[key] = _schema(made[key])
    return made
