"""Makes JSON Schema 2020-12 of OpenAPI's dialects of it, a schema at a time; the schemas inside are done already.

OpenAPI 3.0 has keywords of its own (`nullable`, a boolean `exclusiveMinimum`, `example`), and 3.1 keeps some of them
for compatibility, so both are converted alike.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

__all__ = ["Dialect"]

_NOT_FOR_A_MODEL = ("discriminator", "externalDocs", "xml")


class Dialect:
    """Converts schemas. `dropped` counts the keywords that it left out, by name."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()

    def convert(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` in JSON Schema's words, the order of its keywords kept. Converting twice changes nothing."""
        schema = self._kept(schema)
        for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(schema.get(exclusive), bool):
                schema = _exclusive(schema, limit, exclusive)
        if "example" in schema:
            example = schema.pop("example")
            schema.setdefault("examples", [example])
        if "nullable" in schema:
            schema = _nullable(schema) if schema.pop("nullable") is True else schema
        return schema

    def _kept(self, schema: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in schema if name in _NOT_FOR_A_MODEL or name.startswith("x-")]
        self.dropped.update(name if name in _NOT_FOR_A_MODEL else "x-..." for name in names)
        return {name: value for name, value in schema.items() if name not in names}


def _exclusive(schema: dict[str, Any], limit: str, exclusive: str) -> dict[str, Any]:
    """`minimum: 1, exclusiveMinimum: true` as `exclusiveMinimum: 1`."""
    kept = {name: value for name, value in schema.items() if name != exclusive}
    if schema[exclusive] and limit in kept:
        return {exclusive if name == limit else name: value for name, value in kept.items()}
    return kept


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`, and null."""
    kind = schema.get("type")
    if isinstance(kind, str | list):
        kinds = [kind] if isinstance(kind, str) else kind
        both = {**schema, "type": [*kinds, *(["null"] if "null" not in kinds else [])]}
        if isinstance(both.get("enum"), list) and None not in both["enum"]:
            both["enum"] = [*both["enum"], None]
        return both
    said: dict[str, Any] = {name: schema[name] for name in ("title", "description") if name in schema}
    rest = {name: value for name, value in schema.items() if name not in said}
    return {**said, "anyOf": [rest, {"type": "null"}]} if rest else schema
