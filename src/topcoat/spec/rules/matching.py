"""Whether a given argument meets its rule, and in words what it lacks."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import JsonValue

from topcoat.spec.rules import leaderboard
from topcoat.spec.rules.rule import Rule, alternatives, wording
from topcoat.spec.tools.json_schema import fits, misfit

__all__ = [
    "Compare",
    "as_json",
    "equal",
    "like",
    "names_a_path",
    "property_schema",
    "same_path",
    "shown",
    "unmet",
    "unmet_arguments",
]

Compare = Literal["json", "bfcl"]
"""How values are compared: as JSON, or as the Berkeley Function Calling Leaderboard's AST checker does."""

_NOTHING: Final = object()
_PATHS: Final = frozenset({"path", "file", "filename", "filepath", "dir", "directory", "directorie", "folder"})
"""The last words of the names of paths, without the plural's s."""


def unmet_arguments(rules: Mapping[str, Rule], given: Mapping[str, object], schema: object, compare: Compare) -> str:
    """The first argument in `given` that breaks its rule, with both values, as in "with x=1, not 2"; "" if none does.

    `schema` is the JSON Schema of all arguments. Arguments without a rule may have any value. One that is left out has
    its default, if the schema tells it.
    """
    for name, rule in rules.items():
        own = property_schema(schema, name)
        if name in given:
            lack = unmet(rule, given[name], name, own, compare)
        elif rule.absent or _default_meets(rule, name, own, compare):
            lack = ""
        else:
            lack = f"without {_wanted(name, rule)}"
        if lack:
            return lack
    return ""


def unmet(rule: Rule, given: object, name: str, schema: object, compare: Compare) -> str:
    """Why `given`, the argument called `name`, doesn't meet `rule`; "" if it does. `schema` is the argument's own."""
    if rule.absent and not rule.asks:
        return _not_left_out(given, name, schema, compare)
    if rule.any_of is not None and not _one_of(rule, given, name, schema, compare):
        return f"with {name}={shown(given)}, not {alternatives(map(shown, rule.any_of))}"
    if rule.pattern is not None and not _is_like(given, name, rule.pattern, compare):
        return f"with {name}={shown(given)}, not like {rule.pattern}"
    if rule.json_schema is not None and (fault := _schema_fault(rule.json_schema, given)):
        return f"with {name}={shown(given)}, which doesn't fit its schema: {fault}"
    return "" if rule.object is None else _unmet_object(rule.object, given, name, schema, compare)


def _not_left_out(given: object, name: str, schema: object, compare: Compare) -> str:
    if compare == "bfcl":
        return "" if leaderboard.is_blank(given, schema) else f"with {name}={shown(given)}, which must be left out"
    default = schema["default"] if isinstance(schema, Mapping) and "default" in schema else _NOTHING
    if default is not _NOTHING and equal(given, default):
        return ""
    instead = "" if default is _NOTHING else f" or be its default {shown(default)}"
    return f"with {name}={shown(given)}, which must be left out{instead}"


def _default_meets(rule: Rule, name: str, schema: object, compare: Compare) -> bool:
    """Whether an argument that is left out is right, because its default is."""
    known = compare == "json" and isinstance(schema, Mapping) and "default" in schema
    return known and not unmet(rule, schema["default"], name, schema, compare)  # type: ignore[index]


def _one_of(rule: Rule, given: object, name: str, schema: object, compare: Compare) -> bool:
    values = rule.any_of or ()
    if compare == "bfcl":
        return leaderboard.is_one_of(given, [*values, *([""] if rule.absent else [])], schema)
    return any(equal(given, value) or (names_a_path(name) and same_path(given, value)) for value in values)


def _is_like(given: object, name: str, pattern: str, compare: Compare) -> bool:
    shorter = _normal(given) if compare == "json" and isinstance(given, str) and names_a_path(name) else given
    return like(given, pattern) or like(shorter, pattern)


def names_a_path(name: str) -> bool:
    """Whether an argument with this name is a path, or several: by the last word of its name."""
    return name.rpartition(".")[2].lower().rpartition("_")[2].removesuffix("s") in _PATHS


def same_path(given: object, expected: object) -> bool:
    """Whether both are the same path in two spellings, such as `./src/a.py` and `src/a.py`, or lists of such."""
    if isinstance(given, list | tuple) and isinstance(expected, list):
        return len(given) == len(expected) and all(map(same_path, given, expected))
    both = isinstance(given, str) and isinstance(expected, str) and bool(given) and bool(expected)
    return both and _normal(given) == _normal(expected)  # type: ignore[arg-type]


def _normal(path: str) -> str:
    """A path without `.`, `..`, doubled and closing slashes. An address with a scheme stays as it is."""
    return path if "://" in path else posixpath.normpath(path)


def _unmet_object(rules: Mapping[str, Rule], given: object, name: str, schema: object, compare: Compare) -> str:
    if not isinstance(given, Mapping):
        return f"with {name}={shown(given)}, not an object"
    inner = {f"{name}.{key}": rule for key, rule in rules.items()}
    values = {f"{name}.{key}": value for key, value in given.items()}
    typed = schema if compare == "json" else None  # the leaderboard doesn't check the types of what an object holds
    parts = {f"{name}.{key}": property_schema(typed, key) for key in rules}
    for key, rule in inner.items():
        lack = (
            unmet(rule, values[key], key, parts[key], compare)
            if key in values
            else ("" if rule.absent else f"without {_wanted(key, rule)}")
        )
        if lack:
            return lack
    extra = next((key for key in values if key not in inner), None)
    return "" if extra is None else f"with {extra}={shown(values[extra])}, which is not expected"


def property_schema(schema: object, name: str) -> object:
    """The schema of the property `name` of an object with this schema; None if it has none."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties.get(name) if isinstance(properties, Mapping) else None


def equal(given: object, expected: object) -> bool:
    """Equality as in JSON: true isn't 1, 5.0 is 5, and a tuple is a list."""
    if isinstance(given, list | tuple) and isinstance(expected, list):
        return len(given) == len(expected) and all(map(equal, given, expected))
    if isinstance(given, dict) and isinstance(expected, dict):
        return given.keys() == expected.keys() and all(equal(given[key], expected[key]) for key in given)
    return isinstance(given, bool) == isinstance(expected, bool) and given == expected


def like(value: object, pattern: str) -> bool:
    """Whether `value` is a text that contains `pattern`, which has no fault."""
    return isinstance(value, str) and fits({"pattern": pattern}, _characters(value))


def _schema_fault(schema: Mapping[str, Any], given: object) -> str:
    """Why `given` doesn't fit `schema`; "" if it does. What isn't JSON fits nothing."""
    try:
        return misfit(schema, as_json(given), "it").removeprefix("it: ")
    except (ValueError, RecursionError) as error:
        return f"can't be checked: {_characters(str(error))[:100]}"


def as_json(value: object) -> JsonValue:
    """`value` as a JSON document: tuples become lists. Raises ValueError or RecursionError if it is none."""
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a name in it is not a text")
        return {_characters(key): as_json(item) for key, item in value.items()}
    if isinstance(value, str):
        return _characters(value)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{shown(value)} is not a JSON value")


def _wanted(name: str, rule: Rule) -> str:
    """A missing argument and what it has to be, as in "x=1 or 2"."""
    if rule.any_of is not None:
        return f"{name}={alternatives(map(shown, rule.any_of))}"
    return f"{name} like {rule.pattern}" if rule.pattern is not None else f"{name} ({wording(rule)})"


def _characters(text: str) -> str:
    """`text` without halves of surrogate pairs, which aren't characters."""
    return text.encode("utf-8", "replace").decode()


def shown(value: object) -> str:
    """`value` in at most 60 characters. (Python refuses to print numbers with too many digits.)"""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."
