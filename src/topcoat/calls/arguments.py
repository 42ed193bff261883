"""Checks the arguments of a tool call that is no program, against the JSON Schema of its tool."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from topcoat.calls.programs import Problem, signature
from topcoat.spec.rules.matching import as_json, equal, property_schema, shown
from topcoat.spec.tools.catalog import Tool
from topcoat.spec.tools.json_schema import Misfit, closed, misfits

__all__ = ["argument_problems"]

_MOST_SHOWN = 8
"""The most values of an enum that are listed."""


def argument_problems(tool: Tool, given: Mapping[str, object]) -> list[Problem]:
    """The problems with the arguments, by name, of a call of `tool`: each with the argument, and what is wanted."""
    return [Problem("wrong-arguments", message[:300], signature(tool)) for message in _messages(tool, given)]


def _messages(tool: Tool, given: Mapping[str, object]) -> Iterator[str]:
    schema = tool.schema
    # A default is right, whatever its type: many tools declare a text whose default is null.
    asked = {name: value for name, value in given.items() if not _is_default(name, value, schema)}
    try:
        found = misfits(closed(schema), as_json(asked))
    except (ValueError, RecursionError) as error:  # nested too deeply, or no JSON
        yield f"the arguments of {tool.name} can't be checked: {str(error)[:100]}"
        return
    missing = [str(name) for one in found if one.keyword == "required" and not one.place for name in one.about]
    for one in found:
        if one.keyword == "additionalProperties" and not one.place:
            yield from (f"{tool.name} has no parameter {str(name)[:60]}" for name in one.about)
        elif one.keyword != "required" or one.place:
            yield f"{tool.name} is given {shown(_value(asked, one.place))} for {_named(one.place)}, {_wanted(one)}"
    if missing:
        yield f"{tool.name} is called without {', '.join(missing)}"


def _is_default(name: str, value: object, schema: Mapping[str, Any]) -> bool:
    own = property_schema(schema, name)
    required = name in (schema.get("required") or ())
    return not required and isinstance(own, Mapping) and "default" in own and equal(value, own["default"])


def _value(document: object, place: Sequence[str | int]) -> object:
    """What stands at a place of a document."""
    for part in place:
        document = document[part]  # type: ignore[index]
    return document


def _named(place: Sequence[str | int]) -> str:
    """A place as it is written in code: `rooms[0].name`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")[:100] or "its arguments"


def _wanted(one: Misfit) -> str:
    if one.keyword == "type":
        return f"which must be {' or '.join(sorted(map(str, one.about)))}"
    if one.keyword == "enum":
        values = [json.dumps(value, ensure_ascii=False) for value in one.about]
        more = f" and {len(values) - _MOST_SHOWN} more" if len(values) > _MOST_SHOWN else ""
        return f"which must be one of {', '.join(values[:_MOST_SHOWN])}{more}"
    return f"which doesn't fit: {one.message}"
