"""The arguments of one operation: its parameters and its body as one JSON Schema of an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Arguments"]

_EMPTY: dict[str, Any] = {"properties": {}, "required": [], "allOf": []}
_ANNOTATIONS = {"$comment", "default", "deprecated", "description", "examples", "summary", "title", "writeOnly"}
_KNOWN = {*_EMPTY, *_ANNOTATIONS, "additionalProperties", "type"}
"""Keywords of an object that one schema of all arguments can keep, or that say nothing of what is valid."""


class Arguments:
    """Collects arguments by name. `renamed` tells of those whose name was taken: `"id" of its body as body_id`."""

    def __init__(self) -> None:
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._others: dict[str, Any] = {}
        self.renamed: list[str] = []

    def add(self, origin: str, name: str, schema: Any, required: bool) -> None:
        """One argument, from the `origin`: path, query, header or body."""
        own = name
        if name in self._properties:
            own = self._free(f"{origin}_{name}")
            self.renamed.append(f'"{name}" of its {origin} as {own}')
        self._properties[own] = schema
        if required:
            self._required.append(own)

    def add_body(self, schema: Any, required: bool) -> str:
        """The body: each property of an object as an argument, anything else as one that is called body.

        Gives the description that has no place in the schema, or "".
        """
        found = _object_in(schema)
        if found is None or not found.properties:
            self.add("body", "body", schema, required)
            return ""
        self._others |= found.others
        for name, inner in found.properties.items():
            self.add("body", name, inner, required and name in found.required)
        self._required += [name for name in found.required if required and name not in found.properties]
        said = schema.get("description")
        return said if isinstance(said, str) else ""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of all arguments."""
        required = {"required": self._required} if self._required else {}
        return {"type": "object", "properties": self._properties, **required, **self._others}

    def _free(self, name: str) -> str:
        number, free = 2, name
        while free in self._properties:
            free, number = f"{name}_{number}", number + 1
        return free


@dataclass(slots=True)
class _Object:
    """What the schema of an object says: its properties, the names it requires, and of other properties."""

    properties: dict[str, Any]
    required: list[str]
    others: dict[str, Any]


def _object_in(schema: Any) -> _Object | None:
    """The object that `schema` describes, those of an `allOf` in one.

    None if the schema says more than that, so that its properties alone would be another schema.
    """
    if not isinstance(schema, dict) or schema.get("type", "object") != "object" or not schema.keys() <= _KNOWN:
        return None
    properties, required, members = (schema.get(key, default) for key, default in _EMPTY.items())
    if not isinstance(properties, dict) or not isinstance(required, list) or not isinstance(members, list):
        return None
    others = {key: schema[key] for key in ("additionalProperties",) if schema.get(key, True) is not True}
    found = _Object(dict(properties), [name for name in required if isinstance(name, str)], others)
    for member in members:
        part = _object_in(member)
        if part is None or part.others or others:  # an object that closes itself closes out the properties beside it
            return None
        for name, inner in part.properties.items():
            known = found.properties
            known[name] = {"allOf": [known[name], inner]} if name in known else inner
        found.required += [name for name in part.required if name not in found.required]
    return found
