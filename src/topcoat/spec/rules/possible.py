"""What a rule asks for that no value can be: by the rule itself, or by the JSON Schema of the parameter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import JsonValue

from topcoat.spec.rules.matching import equal, like, property_schema, unmet
from topcoat.spec.rules.rule import Fault, Rule, is_rule, rule_of
from topcoat.spec.tools.json_schema import misfit

__all__ = ["clashes", "impossible", "parameter_schema"]

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
"""JSON's types. A whole number is a number: 5.0 is 5."""


def clashes(rule: Rule, key: str) -> Iterator[Fault]:
    """The keys of a rule, written under `key`, that no value meets together, as far as this can be seen."""
    rest = Rule(json_schema=rule.json_schema, pattern=rule.pattern, object=rule.object)
    for index, value in enumerate(rule.any_of or ()):
        if rest.asks and (lack := unmet(rest, value, "it", None, "json")):
            yield f"{key}.any_of.{index}", f"excluded by the rule's other keys: {lack.removeprefix('with it=')}", ""
    if rule.object is not None and rule.pattern is not None:
        yield f"{key}.pattern", "an object is no text: a rule has `object` or `pattern`", ""
    for part, kind in ((rule.pattern, "string"), (rule.object, "object")):
        if part is not None and rule.json_schema is not None and not _allows(rule.json_schema, kind):
            yield f"{key}.json_schema", f"excludes every {kind}, which the rule's other keys want", ""
    for name, inner in (rule.object or {}).items():
        yield from clashes(inner, f"{key}.object.{name}")


def parameter_schema(schema: Mapping[str, Any], name: str) -> object:
    """The schema of the argument `name`, by that of all arguments, whose definitions it keeps. None: not known."""
    own = property_schema(schema, name)
    if own is None and name not in (schema.get("properties") or {}):
        own = schema.get("additionalProperties")
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    return {**definitions, **own} if isinstance(own, Mapping) else own


def impossible(written: JsonValue, key: str, schema: object, required: bool) -> Iterator[Fault]:
    """What of an expected argument, written under `key`, no right call can have.

    `schema` is the parameter's JSON Schema. `required`: every call must give it.
    """
    rule = rule_of(written)
    if rule.absent and required:
        yield f"{key}.absent", "the parameter is required, so a call without it fails", "delete `absent`"
    if not isinstance(schema, Mapping):
        return
    hint = f"the catalog says {_short(schema)}"
    for index, value in enumerate(rule.any_of or ()):
        if fault := _misfit(schema, value):
            yield f"{key}.any_of.{index}" if is_rule(written) else key, fault, hint
    if rule.pattern is not None and not _allows_text_like(schema, rule.pattern):
        yield f"{key}.pattern", f"no value of the parameter is a text like {rule.pattern}", hint
    if rule.json_schema is not None and not _share(rule.json_schema, schema):
        yield f"{key}.json_schema", "no value of the parameter fits it", hint
    if rule.object is not None and isinstance(written, dict):
        yield from _impossible_object(written["object"], f"{key}.object", schema, hint)


def _impossible_object(written: Any, key: str, schema: Mapping[str, Any], hint: str) -> Iterator[Fault]:
    """What of an expected object no object with this schema can have."""
    if not _allows(schema, "object"):
        yield key, "the parameter is not an object", hint
        return
    required = schema.get("required") or ()
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    for name, part in written.items():
        if closed and name not in (schema.get("properties") or {}):
            yield f"{key}.{name}", "no such property", hint
        else:
            yield from impossible(part, f"{key}.{name}", property_schema(schema, name), name in required)
    for name in required:
        if name not in written:
            yield key, f'"{name}" is required, and the rule allows no other names than its own', f'add "{name}"'


def _misfit(schema: Mapping[str, Any], value: JsonValue) -> str:
    """Why `value` can't be an argument with this schema; "" if it can. A default is right, whatever its type."""
    if "default" in schema and equal(value, schema["default"]):
        return ""
    try:
        return misfit(schema, value, "it").removeprefix("it: ")
    except ValueError:  # it refers to a place outside of itself
        return ""


def _allows_text_like(schema: Mapping[str, Any], pattern: str) -> bool:
    listed = _listed(schema)
    return _allows(schema, "string") if listed is None else any(like(value, pattern) for value in listed)


def _share(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a value can fit both schemas, as far as their lists of values and their types show it."""
    for listing, schema in ((one, other), (other, one)):
        listed = _listed(listing)
        if listed is not None:
            return any(not _misfit(schema, value) for value in listed)
    return any(_allows(one, kind) and _allows(other, kind) for kind in _KINDS)


def _listed(schema: Mapping[str, Any]) -> list[Any] | None:
    """The only values that fit, if the schema lists them."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _allows(schema: object, kind: str) -> bool:
    """Whether a value of this kind may fit, as far as types show it."""
    if not isinstance(schema, Mapping):
        return schema is not False
    listed = _listed(schema)
    if listed is not None:
        return any(_is_of(value, kind) for value in listed)
    kinds = schema.get("type")
    named = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(named, list) and kind not in ["number" if name == "integer" else name for name in named]:
        return False
    joined = [schema[key] for key in ("anyOf", "oneOf") if isinstance(schema.get(key), list)]
    return all(any(_allows(part, kind) for part in parts) for parts in joined) and all(
        _allows(part, kind) for part in schema.get("allOf") or ()
    )


def _is_of(value: object, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind != "number" or not isinstance(value, bool))


def _short(schema: Mapping[str, Any]) -> str:
    """What a schema says of values, without its description and definitions."""
    hidden = ("description", "$defs", "definitions")
    text = json.dumps({key: value for key, value in schema.items() if key not in hidden}, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
