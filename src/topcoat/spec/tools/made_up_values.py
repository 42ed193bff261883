"""Makes up values that fit a JSON Schema, for requests to call a tool. Equal schemas and numbers give equal values."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from topcoat.spec.tools.json_schema import misfit

__all__ = ["PATHS", "Unmakeable", "made_up_arguments"]

PATHS: Final = frozenset({"path", "file", "filename", "target", "module"})
"""Names of parameters that take a path."""

_VOCABULARY = (
    "amber anvil birch bonfire cable cinder comet delta drift elm fjord flax gable grove hinge inlet "
    "jasper kelp larch ledger lichen mast mesa moss nettle oak opal pine plume quay reed ridge rowan "
    "sedge slate spruce tern tidal umber vale wharf willow wren yew zinc "
)
_WORDS = _VOCABULARY.split()
_FOLDERS = ("src", "lib", "app", "core", "tests", "tools")
_DEEPEST = 8
"""How deep objects and lists are made. A schema that contains itself ends here."""
_MOST_ITEMS = 2
_JOINED = ("anyOf", "oneOf")


class Unmakeable(ValueError):
    """No value could be made up that fits the schema. The text says which one, and what doesn't fit."""


def made_up_arguments(schema: Mapping[str, Any], tool: str, n: int) -> dict[str, Any]:
    """The `n`th arguments, by name, of a tool whose arguments have the object's `schema`: the required ones alone.

    Raises Unmakeable, which is rare: for patterns that are unlike the usual ones, or conditions between arguments.
    """
    value = _Maker(schema, n).value({"type": "object", **schema}, tool, 0)
    try:
        fault = misfit(schema, value, "the made-up arguments")
    except (ValueError, RecursionError) as error:
        fault = str(error)
    if fault or not isinstance(value, dict):
        raise Unmakeable(fault or "the schema is no object's")
    return value


@dataclass(frozen=True, slots=True)
class _Seed:
    """Numbers and words that follow from a place in a schema."""

    number: int
    digest: bytes

    @property
    def words(self) -> tuple[str, str]:
        return _WORDS[self.number % len(_WORDS)], _WORDS[self.number // 101 % len(_WORDS)]


_FORMATS: Mapping[str, Callable[[_Seed], str]] = {
    "date": lambda seed: f"2026-{seed.number % 12 + 1:02}-{seed.number // 12 % 28 + 1:02}",
    "date-time": lambda seed: f"{_FORMATS['date'](seed)}T{_FORMATS['time'](seed)}",
    "time": lambda seed: f"{seed.number % 24:02}:{seed.number // 24 % 60:02}:00Z",
    "duration": lambda seed: f"PT{seed.number % 50 + 5}M",
    "email": lambda seed: f"{seed.words[0]}@{seed.words[1]}.example.com",
    "hostname": lambda seed: f"{seed.words[0]}.example.com",
    "ipv4": lambda seed: f"192.0.2.{seed.number % 254 + 1}",
    "ipv6": lambda seed: f"2001:db8::{seed.number % 9999 + 1:x}",
    "uri": lambda seed: f"https://example.com/{'/'.join(seed.words)}",
    "uuid": lambda seed: str(uuid.UUID(bytes=seed.digest[:16], version=4)),
}
_SHAPES: tuple[Callable[[_Seed], str], ...] = (
    lambda seed: seed.words[0],
    lambda seed: seed.words[0].upper(),
    lambda seed: seed.words[0].capitalize(),
    lambda seed: " ".join(seed.words),
    lambda seed: "-".join(seed.words),
    *((lambda seed, length=length: str(seed.number)[-length:].rjust(length, "1")) for length in range(1, 17)),
    *((lambda seed, length=length: seed.digest.hex()[:length]) for length in (6, 7, 8, 12, 16, 24, 32, 40, 64)),
    *((lambda seed, length=length: seed.words[0].upper()[:length].ljust(length, "X")) for length in (2, 3)),
    lambda seed: f"{seed.words[0].upper()[:3]}-{seed.number % 900 + 100}",
    lambda seed: f"{seed.words[0].upper()[:2]}{seed.number % 9000 + 1000}",
    lambda seed: f"#{seed.digest.hex()[:6]}",
    lambda seed: f"v{seed.number % 9}.{seed.number // 9 % 9}.{seed.number // 81 % 9}",
    lambda seed: f"{seed.number % 9}.{seed.number // 9 % 9}.{seed.number // 81 % 9}",
    lambda seed: f"{seed.number % 24:02}:{seed.number // 24 % 60:02}",
    lambda seed: f"+1555{seed.number % 9000000 + 1000000}",
    lambda seed: f"/{'/'.join(seed.words)}",
    *_FORMATS.values(),
)
"""Texts that common patterns describe."""


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the `n`th value of each place in the schema `root`."""

    root: Mapping[str, Any]
    n: int

    def value(self, schema: object, place: str, depth: int) -> Any:
        """A value for `schema`, which stands at `place`: names with spaces between them."""
        schema = self._plain(schema, depth)
        for key in ("examples", "enum"):
            if isinstance(choices := schema.get(key), list) and choices:
                return choices[self._seed(place).number % len(choices)]
        if "const" in schema:
            return schema["const"]
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, place, depth)
        if kind == "array":
            return self._array(schema, place, depth)
        return self._scalar(kind, schema, place)

    def _plain(self, schema: object, depth: int) -> Mapping[str, Any]:
        """The schema without references and choices between schemas."""
        if depth > _DEEPEST:
            raise Unmakeable("the schema is nested too deeply")
        plain: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}
        if isinstance(target := plain.pop("$ref", None), str):
            plain = {**self._plain(self._referred(target), depth + 1), **plain}
        for part in plain.pop("allOf", None) or ():
            plain = _both(plain, self._plain(part, depth + 1))
        for key in _JOINED:
            plain = _both(plain, self._chosen(plain.pop(key, None) or (), depth))
        return plain

    def _chosen(self, members: Sequence[object], depth: int) -> Mapping[str, Any]:
        """The first of `members` that isn't null, if there is one."""
        chosen: Mapping[str, Any] = {}
        for member in members:
            chosen = self._plain(member, depth + 1)
            if _kind(chosen) != "null":
                break
        return chosen

    def _referred(self, target: str) -> object:
        found: object = self.root
        for name in target.removeprefix("#").split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _object(self, schema: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        return {
            name: self.value(properties.get(name, {}), f"{place} {name}", depth + 1)
            for name in schema.get("required") or ()
        }

    def _array(self, schema: Mapping[str, Any], place: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems") or ()
        least, most = schema.get("minItems", 1), schema.get("maxItems", max(_MOST_ITEMS, len(first)))
        count = min(max(least, _MOST_ITEMS if not first else len(first)), most)
        own = schema.get("items")
        schemas = [*first, *[own] * count][:count]
        made = [
            self.value(one, f"{place} {number}" if number else place, depth + 1) for number, one in enumerate(schemas)
        ]
        return [item for number, item in enumerate(made) if item not in made[:number]] if least < count else made

    def _scalar(self, kind: str, schema: Mapping[str, Any], place: str) -> Any:
        seed = self._seed(place)
        if kind in ("integer", "number"):
            return _number(kind, schema, seed)
        if kind == "boolean":
            return seed.number % 2 == 0
        return None if kind == "null" else _text(schema, place.rpartition(" ")[2], seed)

    def _seed(self, place: str) -> _Seed:
        digest = hashlib.sha256(f"{place} {self.n}".encode()).digest()
        return _Seed(int.from_bytes(digest[:8]), digest)


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of the values: the first that isn't null, or what the other keys suggest."""
    kinds = schema.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    named = [kind for kind in listed if isinstance(kind, str)]
    if named:
        return next((kind for kind in named if kind != "null"), "null")
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One schema that asks what both ask, as far as objects go."""
    joined = {**one, **other}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return joined


def _number(kind: str, schema: Mapping[str, Any], seed: _Seed) -> float:
    """A number within the schema's bounds; a whole one if that is possible."""
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = 1 if high is None or high > 1 else high - 90
    if high is None:
        high = low + 90 * step
    if kind == "number" and step == 1 and high - low < 2:
        return float(round(low + (high - low) * (seed.number % 9 + 1) / 10, 6))
    first = -(-low // step) + ("minimum" not in schema and "exclusiveMinimum" in schema and low % step == 0)
    last = high // step - ("maximum" not in schema and "exclusiveMaximum" in schema and high % step == 0)
    number = (first + seed.number % max(1, int(min(last - first + 1, 90)))) * step
    return int(number) if float(number).is_integer() else float(round(number, 6))


def _text(schema: Mapping[str, Any], name: str, seed: _Seed) -> str:
    one, other = seed.words
    if isinstance(pattern := schema.get("pattern"), str):
        limits = {key: schema[key] for key in ("minLength", "maxLength") if key in schema}
        wanted = {"pattern": pattern, **limits}
        made = (shape(seed) for shape in _SHAPES)
        return next((text for text in made if not misfit(wanted, text)), "")
    if (shape := _FORMATS.get(str(schema.get("format")))) is not None:
        return shape(seed)
    text = f"{_FOLDERS[seed.number % len(_FOLDERS)]}/{one}/{other}.py" if name in PATHS else f"{one}_{other}"
    while len(text) < schema.get("minLength", 0):
        text += f"_{one}"
    return text[: schema.get("maxLength", len(text))]
