"""JSON Schemas: what is wrong with one, and what of a document doesn't fit one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

from topcoat.spec.canonical import canonical_json

__all__ = ["Misfit", "closed", "fits", "is_open", "misfit", "misfits", "pattern_fault", "schema_fault"]

_LONGEST_MISFIT = 200
_COMPOSED = ("$ref", "allOf", "anyOf", "oneOf", "if")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A place at which a document doesn't fit a schema.

    `keyword` is the schema's, such as "type". `about` are what it names: the types, the values of an enum, the missing
    or the further properties.
    """

    place: tuple[str | int, ...]
    keyword: str
    about: tuple[object, ...]
    message: str


def misfit(schema: Mapping[str, Any] | None, document: object, name: str = "the document") -> str:
    """The first place at which `document` doesn't fit `schema`, which has no fault, and why. "" if it fits.

    `name` is what the whole document is called.
    Raises ValueError or RecursionError for a document that can't be checked: nested too deeply, or not text.
    """
    error = next(iter(_validator(canonical_json(schema)).iter_errors(document)), None)
    if error is None:
        return ""
    where = "".join(f"[{part!r}]" for part in error.instance_path)
    return f"{where or name}: {error.message}"[:_LONGEST_MISFIT]


def misfits(schema: Mapping[str, Any], document: object) -> list[Misfit]:
    """Every place at which `document` doesn't fit `schema`, which has no fault. Raises what `misfit` raises."""
    errors = _validator(canonical_json(schema)).iter_errors(document)
    return [Misfit(tuple(e.instance_path), e.kind.name, _about(e.kind.as_dict()), e.message) for e in errors]


def _about(details: Mapping[str, object]) -> tuple[object, ...]:
    """The values in an error's details."""
    return tuple(item for value in details.values() for item in (value if isinstance(value, list) else [value]))


def fits(schema: Mapping[str, Any] | None, document: object) -> bool:
    """Whether `document` fits `schema`, which has no fault. Raises what `misfit` raises."""
    return bool(_validator(canonical_json(schema)).is_valid(document))


def is_open(schema: Mapping[str, Any]) -> bool:
    """Whether the schema of a tool's arguments allows others than its properties, or says nothing of properties."""
    if "properties" not in schema:
        return schema.get("additionalProperties") is not False
    hidden = not schema.get("properties") and any(key in schema for key in _COMPOSED)
    return hidden or bool(schema.get("patternProperties")) or schema.get("additionalProperties", False) is not False


def closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a tool's arguments without arguments that the tool doesn't name, unless it says that it takes more.

    JSON Schema allows every further name unless `additionalProperties` is written. A tool doesn't.
    """
    return schema if is_open(schema) else {**schema, "additionalProperties": False}


def pattern_fault(pattern: str) -> str:
    """The fault of a pattern, "" if it has none."""
    return "not a pattern of JSON Schema's kind (ECMA 262)" if schema_fault({"pattern": pattern}) else ""


def schema_fault(schema: Mapping[str, Any]) -> str:
    """The fault of a JSON schema, "" if it has none."""
    from jsonschema_rs import ValidationError, validator_for  # takes 30 ms, and few suites need it

    try:
        validator_for(dict(schema), offline=True)
    except ValidationError as error:
        return f"not a JSON schema: {error.message[:200]}"
    except ValueError as error:  # nested too deeply
        return f"not a JSON schema: {error}"
    return next(_impossible(schema), "")


@lru_cache(maxsize=1000)
def _validator(schema: str) -> Any:
    from jsonschema_rs import validator_for

    return validator_for(schema, offline=True)


_BOUNDS = (
    ("minimum", "maximum", False),
    ("minimum", "exclusiveMaximum", True),
    ("exclusiveMinimum", "maximum", True),
    ("exclusiveMinimum", "exclusiveMaximum", True),
    ("minLength", "maxLength", False),
    ("minItems", "maxItems", False),
    ("minContains", "maxContains", False),
    ("minProperties", "maxProperties", False),
)
"""Two bounds of a JSON schema, and whether nothing fits if they are equal."""


def _impossible(schema: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What no document can meet in a valid schema, and where: only what can be seen without solving it."""
    for low, high, strict in _BOUNDS:
        least, most = schema.get(low), schema.get(high)
        if _is_number(least) and _is_number(most) and (least > most or (strict and least == most)):
            yield f"nothing fits{place}: {low} {least} and {high} {most}"
    if schema.get("enum") == []:
        yield f"nothing fits{place}: enum is empty"
    properties = schema.get("properties") or {}
    for name in schema.get("required") or ():
        closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
        if properties.get(name, not closed) is False:
            yield f'nothing fits{place}: "{name}" is required and not allowed'
    parts = {f"properties.{name}": part for name, part in properties.items()}
    parts |= {f"allOf.{index}": part for index, part in enumerate(schema.get("allOf") or ())}
    parts["items"] = schema.get("items")
    for name, part in parts.items():
        if isinstance(part, Mapping):
            yield from _impossible(part, f"{place} {name}" if place else f" in {name}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
