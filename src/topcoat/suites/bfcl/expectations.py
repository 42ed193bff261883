"""The leaderboard's ground truth as expectations.

Its form: {function: {parameter: [alternative, ...]}}, a call. "" among the alternatives says that the argument may be
left out. The alternatives of an object are objects whose values are alternatives again; so are those of a list of
objects, item by item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from topcoat.spec.rules.leaderboard import is_one_of

__all__ = ["Impossible", "expected_call", "some_call"]

_ABSENT = ""
_MOST_OBJECTS = 1000
"""The most objects, or lists of objects, that are written out for one argument."""


class Impossible(Exception):
    """No answer can be right, or none can be written down."""


def expected_call(ground_truth: Mapping[str, Mapping[str, Sequence[Any]]], tools: Sequence[Mapping[str, Any]]) -> Any:
    """The call that the ground truth asks for, as a suite writes it. Raises Impossible with the reason."""
    if len(ground_truth) != 1:
        raise Impossible(f"its ground truth holds {len(ground_truth)} functions in the place of one")
    ((name, wanted),) = ground_truth.items()
    schema = next((tool["function"]["parameters"] for tool in tools if tool["function"]["name"] == name), None)
    if schema is None:
        raise Impossible(f'its ground truth calls "{name}", which is none of its tools')
    properties, required = schema.get("properties", {}), schema.get("required", ())
    for parameter in required:
        if parameter not in wanted:
            raise Impossible(f'"{parameter}" is required, and its ground truth allows no value')
    args = {}
    for parameter, alternatives in wanted.items():
        optional = _ABSENT in alternatives and parameter not in required
        values = [*_values(alternatives, properties[parameter])] if parameter in properties else []
        if values:
            args[parameter] = _rule(values, absent=optional)
        elif not optional:
            known = "none of its alternatives can be given" if parameter in properties else "its tool doesn't have it"
            raise Impossible(f'"{parameter}" must be given, and {known}')
    return {"tool": name, **({"args": args} if args else {}), "only": True, "compare": "bfcl"}


def some_call(tools: Sequence[Mapping[str, Any]]) -> Any:
    """A call of any tool with any arguments."""
    return {"tool": [tool["function"]["name"] for tool in tools], "compare": "bfcl"}


def _rule(values: Sequence[Any], *, absent: bool) -> Any:
    """The expectation of one of `values`, which may be left out if `absent`."""
    if len(values) == 1 and isinstance(values[0], _Alternatives):
        return {"object": values[0].rules(), **({"absent": True} if absent else {})}
    exact = [one for value in values for one in (value.objects() if isinstance(value, _Alternatives) else [value])]
    if len(exact) == 1 and not absent and not isinstance(exact[0], dict):
        return exact[0]
    return {"any_of": exact, **({"absent": True} if absent else {})}


class _Alternatives:
    """An object whose values are alternatives."""

    def __init__(self, written: Mapping[str, Any]) -> None:
        if not all(isinstance(alternatives, list) for alternatives in written.values()):
            raise Impossible("an object in its ground truth holds values that are no list of alternatives")
        if not all(written.values()):
            raise Impossible("an object in its ground truth holds a name without alternatives")
        self.written = written

    def rules(self) -> dict[str, Any]:
        """The rule of each name. The value "" is right, too, where the name may be left out."""
        return {name: _rule(values, absent=_ABSENT in values) for name, values in self.written.items()}

    def objects(self) -> list[dict[str, Any]]:
        """All objects that are right."""
        choices: list[list[tuple[str, Any] | None]] = [
            [*([None] if _ABSENT in values else []), *((name, value) for value in values)]
            for name, values in self.written.items()
        ]
        if prod(map(len, choices)) > _MOST_OBJECTS:
            raise Impossible(f"its ground truth allows more than {_MOST_OBJECTS} objects for one argument")
        return [dict(pair for pair in chosen if pair is not None) for chosen in product(*choices)]


def _values(alternatives: Sequence[Any], schema: Mapping[str, Any]) -> Iterator[Any]:
    """The values that can be right for an argument. "" is one of them where the leaderboard takes it for one."""
    kind = next((type(value) for value in alternatives if value != _ABSENT), None)
    for value in alternatives:
        if value == _ABSENT:
            yield from _empty(schema, kind)
        elif isinstance(value, dict) and schema.get("type") == "object":
            yield _Alternatives(value)
        elif _holds_objects(value, schema):
            yield from _lists(value)
        elif is_one_of(value, [value], schema):
            yield value


def _empty(schema: Mapping[str, Any], kind: type | None) -> list[Any]:
    """What the leaderboard takes for the alternative "": "" for a text, [] for a list, among `kind` values."""
    if schema.get("type", "string") == "string" or kind is str:
        return [""]
    return [[]] if schema["type"] == "array" else []


def _holds_objects(value: Any, schema: Mapping[str, Any]) -> bool:
    items = schema.get("items")
    return (
        isinstance(value, list)
        and isinstance(items, Mapping)
        and items.get("type") == "object"
        and all(isinstance(item, dict) for item in value)
    )


def _lists(items: Sequence[Mapping[str, Any]]) -> list[Any]:
    """All lists of objects that are right."""
    choices = [_Alternatives(item).objects() for item in items]
    if prod(map(len, choices)) > _MOST_OBJECTS:
        raise Impossible(f"its ground truth allows more than {_MOST_OBJECTS} lists of objects for one argument")
    return [list(chosen) for chosen in product(*choices)]
