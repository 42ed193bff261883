"""Puts the targets of a document's references in their places, so that each schema can be read by itself.

A schema that refers to itself has no such form, and one that doubles at every reference has one that nobody can read.
Both are told by name. Each target is resolved once, after those that it refers to, so the time is linear in the
document, whatever refers to what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from topcoat.catalogs.openapi.dialect import Dialect
from topcoat.catalogs.schema_tree import SCHEMA_KEYWORDS, extent, rebuilt, subschemas

__all__ = ["MAX_LEVELS", "MAX_VALUES", "References", "Resolved", "Unresolved"]

MAX_VALUES = 10_000
"""The most values of a resolved schema: beyond any that a model can read."""
MAX_LEVELS = 80
"""The most levels of objects and lists of a resolved schema."""

_ANNOTATIONS = {"default", "deprecated", "description", "example", "examples", "nullable", "summary", "title"}

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Unresolved(Exception):
    """A reference that has no target, or whose target can't be put in its place."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A schema without references. `values` and `levels` are its size; `read_only` counts the properties left out."""

    schema: Any
    values: int
    levels: int
    read_only: int = 0


class References:
    """The references of one document. Schemas are converted by `dialect` on the way."""

    def __init__(self, document: dict[str, Any], dialect: Dialect) -> None:
        self._document = document
        self._dialect = dialect
        self._settled: dict[str, Resolved | str] = {}

    def followed(self, value: Any) -> Any:
        """What `value` refers to if it is a reference, else itself: for parameters, bodies and paths, not schemas."""
        seen: set[str] = set()
        while (name := _reference(value)) is not None:
            if name in seen:
                raise Unresolved(f"{name} refers to itself")
            seen.add(name)
            value = self._target(name)
        return value

    def resolved(self, schema: Any) -> Resolved:
        """`schema` with every target in its place. Raises `Unresolved`."""
        for name in _references_in(schema):
            self._settle(name)
        found = self._placed(schema)
        if isinstance(found, str):
            raise Unresolved(found)
        return found

    def _settle(self, name: str) -> None:
        """Resolve the target of `name`, after all that it refers to."""
        if name in self._settled:
            return
        open_ = {name: self._begun(name)}
        circular: dict[str, str] = {}
        while open_:
            current, rest = next(reversed(open_.items()))
            inner = next((other for other in rest if other not in self._settled), None)
            if inner is None:
                del open_[current]
                if current not in self._settled:
                    self._settled[current] = circular.get(current) or self._placed(self._target(current))
            elif inner in open_:
                circular.setdefault(current, f"{inner} refers to itself")
            else:
                open_[inner] = self._begun(inner)

    def _begun(self, name: str) -> Iterator[str]:
        try:
            return iter(_references_in(self._target(name)))
        except Unresolved as problem:
            self._settled[name] = str(problem)
            return iter(())

    def _placed(self, schema: Any) -> Resolved | str:
        """`schema` with its settled targets in their places, or why it has no such form."""
        if not isinstance(schema, dict):
            return Resolved(schema, 1, 0)
        inside: list[Resolved | str] = []

        def placed(inner: Any) -> Any:
            inside.append(found := self._placed(inner))
            return None if isinstance(found, str) else found.schema

        name = _reference(schema)
        built = rebuilt({key: value for key, value in schema.items() if key != "$ref" or name is None}, placed)
        if name is not None:
            inside.append(target := self._settled[name])
            built = built if isinstance(target, str) else _joined(target.schema, built)
        problem = next((found for found in inside if isinstance(found, str)), None)
        return problem if problem is not None else self._measured(schema, built, inside)

    def _measured(self, schema: dict[str, Any], built: Any, inside: list[Resolved | str]) -> Resolved | str:
        parts = [found for found in inside if isinstance(found, Resolved)]
        own = [extent(value) for key, value in schema.items() if key not in SCHEMA_KEYWORDS]
        values = 1 + sum(part.values for part in parts) + sum(count for count, _ in own)
        levels = max([1, *(2 + part.levels for part in parts), *(1 + depth for _, depth in own)])
        if values > MAX_VALUES:
            return f"its schema has more than {MAX_VALUES} values once its references are resolved"
        if levels > MAX_LEVELS:
            return f"its schema has more than {MAX_LEVELS} levels once its references are resolved"
        read_only = sum(part.read_only for part in parts)
        if not isinstance(built, dict):
            return Resolved(built, values, levels, read_only)
        writable, removed = _writable(self._dialect.convert(built))
        return Resolved(writable, values, levels, read_only + removed)

    def _target(self, name: str) -> Any:
        """What a JSON pointer points to."""
        if not name.startswith("#/"):
            where = "names no place in the document" if name.startswith("#") else "is in another file"
            raise Unresolved(f"{name} {where}")
        value: Any = self._document
        for part in name[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
                value = value[int(key)]
            else:
                raise Unresolved(f"{name} isn't there")
        return value


def _reference(value: Any) -> str | None:
    """The JSON pointer in a reference, its percent signs decoded: one spelling for each place. None of other values."""
    name = value.get("$ref") if isinstance(value, dict) else None
    return unquote(name) if isinstance(name, str) else None


def _references_in(schema: Any) -> list[str]:
    """The references in `schema`, each once, in order."""
    found: dict[str, None] = {}
    level = [schema]
    while level:
        current = level.pop()
        if isinstance(current, dict):
            if (name := _reference(current)) is not None:
                found.setdefault(name)
            level += [inner for _, inner in subschemas(current)]
    return list(found)


def _joined(target: Any, beside: dict[str, Any]) -> Any:
    """A target and the keywords that stand beside its reference. Words about it take the place of its own."""
    if not beside:
        return target
    if isinstance(target, dict) and beside.keys() <= _ANNOTATIONS:
        return {**target, **beside}
    others = beside.get("allOf")
    return {**beside, "allOf": [target, *(others if isinstance(others, list) else [])]}


def _writable(schema: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """`schema` without the properties that only answers have, and their number."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema, 0
    kept = {name: inner for name, inner in properties.items() if not _is_read_only(inner)}
    if len(kept) == len(properties):
        return schema, 0
    required = schema.get("required")
    left = [name for name in required if name in kept or name not in properties] if isinstance(required, list) else []
    rest = {key: value for key, value in schema.items() if key != "required"}
    return {**rest, "properties": kept, **({"required": left} if left else {})}, len(properties) - len(kept)


def _is_read_only(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True
