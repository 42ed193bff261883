"""Puts pydantic's errors in plain words: the key, what it must be, what it is, and what was probably meant."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from topcoat.spec.reading.section import CROSS_CHECK
from topcoat.spec.reading.toml_lines import KeyPath

__all__ = ["Finding", "Notation", "findings"]

Notation = Literal["toml", "json"]

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "none_required": "left out",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An error at `path` of the data, in words. `message` begins with the key as the user writes it."""

    path: KeyPath
    message: str
    hint: str | None = None


def findings(error: ValidationError, data: object, model: type[BaseModel], notation: Notation) -> list[Finding]:
    """The errors of `data`, which isn't a valid `model`, in words and each once."""
    errors = [_Located.of(details, data) for details in error.errors(include_url=False)]
    kinds: defaultdict[KeyPath, list[str]] = defaultdict(list)
    for located in errors:
        kinds[located.path].append(located.details["type"])
    found: dict[Finding, None] = {}
    for located in _without_lesser_branches(errors):
        for finding in _describe(located, kinds[located.path], data, model, notation):
            found[finding] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _Located:
    """A pydantic error with its place in the data. `branch`: the error concerns one of several allowed types only."""

    details: ErrorDetails
    path: KeyPath
    branch: bool

    @classmethod
    def of(cls, details: ErrorDetails, data: object) -> _Located:
        """Walk the data along pydantic's `loc`, without the tags of a union's branches."""
        path: KeyPath = ()
        branch = False
        here: object = data
        for part in details["loc"]:
            if _holds(here, part):
                here = here[part]  # type: ignore[index]
            elif details["type"] != "missing" or part != details["loc"][-1]:
                branch = True
                continue
            path = (*path, part)
        return cls(details, path, branch)


def _holds(data: object, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def _without_lesser_branches(errors: list[_Located]) -> Iterator[_Located]:
    """Keep the errors of one branch of a union: the one that got furthest into the data is probably meant."""
    branches = [error for error in errors if error.branch]
    around = {error.path[:length] for error in branches for length in range(len(error.path))}
    right_type = {
        error.path[:length]
        for error in branches
        if error.details["type"] not in _KINDS
        for length in range(len(error.path) + 1)
    }
    for error in errors:
        deeper = error.path in around
        if not error.branch or not (deeper or (error.path in right_type and error.details["type"] in _KINDS)):
            yield error


def _describe(
    error: _Located, types: list[str], data: object, model: type[BaseModel], notation: Notation
) -> Iterator[Finding]:
    """An error in words. `types` are those of all errors at its place."""
    details, path = error.details, error.path
    kind, context = details["type"], details.get("ctx", {})
    if kind == CROSS_CHECK:
        for key, message, hint in context["problems"]:
            whole = (*path, *(int(part) if part.isdigit() else part for part in key.split(".") if part))
            yield Finding(whole, _sentence(whole, message), hint or None)
    elif kind == "missing":
        yield Finding(path, *_missing(path, model, notation))
    elif kind == "extra_forbidden":
        yield Finding(path, *_unknown(path, details["input"], model, notation))
    elif kind in _KINDS:
        kinds = dict.fromkeys(_kind(name, notation) for name in types if name in _KINDS)
        message = f"must be {' or '.join(kinds)}, is {_shown(details['input'], notation)}"
        yield Finding(path, _sentence(path, message))
    elif details["loc"][-1:] == ("[key]",):
        yield Finding(path, _sentence(path[:-1], f"a name in it {_constraint(details, notation)}"))
    else:
        yield Finding(path, _sentence(path, _constraint(details, notation)))


def _constraint(details: ErrorDetails, notation: Notation) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {_number(context[key])}, is {_shown(details['input'], notation)}"
    if kind == "finite_number":
        return "must be a finite number"
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", '"')
        return f"must be {expected}, is {_shown(details['input'], notation)}"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "too_short":
        count = context["min_length"]
        return f"must hold at least {count} {'entry' if count == 1 else 'entries'}"
    text = details["msg"]
    return text[:1].lower() + text[1:]


def _missing(path: KeyPath, model: type[BaseModel], notation: Notation) -> tuple[str, str | None]:
    key = str(path[-1])
    owner = _model_at(model, path[:-1])
    field = owner.model_fields.get(key) if owner else None
    example = field.examples[0] if field and field.examples else None
    inner = _inner_model(field.annotation) if field else None
    if notation == "toml" and inner is not None:
        required = [
            f"{name} = {inner_field.examples[0]}"
            for name, inner_field in inner.model_fields.items()
            if inner_field.is_required() and inner_field.examples
        ]
        content = f" with {', '.join(required)}" if required else ""
        return f"{_table(path)} is missing", f"add {_table(path)}{content}"
    if example is None:
        return _sentence(path, "is missing"), None
    if notation == "json":
        return _sentence(path, "is missing"), f'add "{key}": {example}'
    where = f" to {_table(path[:-1])}" if path[:-1] else ""
    return _sentence(path, "is missing"), f"add `{key} = {example}`{where}"


def _unknown(path: KeyPath, value: object, model: type[BaseModel], notation: Notation) -> tuple[str, str]:
    key = str(path[-1])
    table = tuple(part for part in path[:-1] if isinstance(part, str))
    known = dict(_tables(model))
    here = list(known[table].model_fields) if table in known else []
    elsewhere = [(other, name) for other, fields in known.items() if other != table for name in fields.model_fields]
    message = _sentence(path, "no such key")
    exact = [place for place in elsewhere if place[1] == key]
    if exact:
        return message, f"did you mean {_place(exact[0], value, notation)}?"
    close = difflib.get_close_matches(key, here, n=1)
    if close:
        return message, f"did you mean {_place((table, close[0]), value, notation, alone=True)}?"
    close = difflib.get_close_matches(key, [name for _, name in elsewhere], n=1)
    if close:
        place = next(place for place in elsewhere if place[1] == close[0])
        return message, f"did you mean {_place(place, value, notation)}?"
    return message, f"the keys here are {', '.join(here)}"


def _place(place: tuple[tuple[str, ...], str], value: object, notation: Notation, *, alone: bool = False) -> str:
    """A key as the user writes it. `alone` leaves out its table."""
    table, name = place
    if notation == "json":
        return f'"{name}"' if alone else f'"{".".join((*table, name))}"'
    if isinstance(value, dict):
        return _table((*table, name))
    if alone:
        return f"`{name}`"
    return f"{_table(table)} {name}" if table else f"`{name}` above the first table"


def _tables(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner = _inner_model(field.annotation)
        if inner is not None:
            yield from _tables(inner, (*path, name))


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    return dict(_tables(model)).get(tuple(part for part in path if isinstance(part, str)))


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model in a field's type, alone, in a list or in a union with None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner_model(part))), None)


def _sentence(path: KeyPath, message: str) -> str:
    """The key and what is wrong, as in "train.iters: must be at least 1, is 0"."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return f"{name}: {message}" if name else message


def _table(path: KeyPath) -> str:
    return f"[{'.'.join(str(part) for part in path)}]"


def _kind(name: str, notation: Notation) -> str:
    """The expected type of a pydantic error, in the words of TOML (table) or JSON (object)."""
    kind = _KINDS[name]
    return "an object" if notation == "json" and kind == "a table" else kind


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: object, notation: Notation) -> str:
    """A value, shortened for a message."""
    if isinstance(value, Mapping):
        return _kind("dict_type", notation)
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null" if notation == "json" else "missing"
    if isinstance(value, bool | int | float | str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
    return str(value)
