"""Functions as data sets describe them, as OpenAI's `tools` with parameters in JSON Schema.

    {"type": "function", "function": {"name": ..., "parameters": {...}}}     OpenAI; stays as it is
    {"name": ..., "parameters": {"type": "object", "properties": {...}}}     OpenAI's `functions`, LLaMA-Factory, Glaive
    {"name": ..., "input_schema": {...}}                                     Anthropic
    {"name": ..., "parameters": {"room": {"type": "str, optional"}}}         xLAM
    {"name": ..., "parameters": {"type": "dict", ...}, "required": [...]}    ToolACE, When2Call, BFCL

Types of Python become JSON Schema's. A type that JSON Schema doesn't have is kept in the parameter's description.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from topcoat.examples.formats.json_texts import Note, Said, Untranslatable
from topcoat.examples.formats.literals import Unreadable, values_in
from topcoat.spec.tools.types import Type, type_of

__all__ = ["KEPT_TYPE", "REPEATED", "openai_tools"]


KEPT_TYPE = Note("parameter", "its type has no form in JSON Schema and stands in its description")

REPEATED = Note("function", "it is listed a second time, word for word, and left out there")

_PLAIN = {
    "str": "string",
    "string": "string",
    "char": "string",
    "int": "integer",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "array": "array",
    "sequence": "array",
    "iterable": "array",
    "tuple": "array",
    "dict": "object",
    "mapping": "object",
    "object": "object",
    "none": "null",
    "null": "null",
}
_SETS = ("set", "frozenset")
_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE_SCHEMA = ("items", "additionalProperties", "not")
_COMMA = re.compile(r"[\[\](){},]")


def openai_tools(tools: object, said: Said) -> list[dict[str, Any]]:
    """The functions of a list, or of a text with them in JSON or Python. Raises `Untranslatable`.

    An item may be a JSON text as well. `said` counts the types that JSON Schema doesn't have.
    """
    if isinstance(tools, str):
        try:
            tools = values_in(tools)
        except (Unreadable, RecursionError):
            raise Untranslatable("tools: not JSON") from None
    if not isinstance(tools, list | dict):
        raise Untranslatable("tools: must be a list")
    made = [_tool(_decoded(tool), said) for tool in ([tools] if isinstance(tools, dict) else tools)]
    different = {json.dumps(tool, sort_keys=True): tool for tool in made}
    if len(different) < len(made):
        said[REPEATED] += len(made) - len(different)
    return list(different.values())


def _decoded(tool: object) -> object:
    try:
        return json.loads(tool) if isinstance(tool, str) else tool
    except (ValueError, RecursionError):
        raise Untranslatable("tools: a function that is not JSON") from None


def _tool(tool: object, said: Said) -> dict[str, Any]:
    if isinstance(tool, dict) and isinstance(inner := tool.get("function"), dict):
        return {**tool, "function": _function(inner, said)}
    if isinstance(tool, dict) and tool.get("type") == "function":
        tool = {key: value for key, value in tool.items() if key != "type"}
    return {"type": "function", "function": _function(tool, said)}


def _function(tool: object, said: Said) -> dict[str, Any]:
    if not isinstance(tool, dict) or not isinstance(name := tool.get("name"), str) or not name:
        raise Untranslatable("tools: a function without a name")
    given = tool.get("parameters") or tool.get("input_schema") or {}
    if not isinstance(given, dict):
        raise Untranslatable(f"tools: the parameters of {name[:60]} are not an object")
    parameters = _flat(given, said) if _is_flat(given) else _schema(given, said)
    kept = {key: value for key, value in tool.items() if key not in ("parameters", "input_schema")}
    if "required" in kept and isinstance(required := kept.pop("required"), list) and required:
        parameters.setdefault("required", required)
    return {**kept, "parameters": parameters}


def _is_flat(parameters: Mapping[str, Any]) -> bool:
    """Whether these are parameters by name instead of a schema. A parameter may be called `type` or `properties`."""
    if not all(isinstance(value, dict) for value in parameters.values()):
        return False
    named = parameters.get("properties")
    return named is None or isinstance(named.get("type"), str)


def _flat(parameters: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """xLAM's parameters, `{"room": {"type": "str, optional", "default": ...}}`, as JSON Schema."""
    required = [name for name, given in parameters.items() if _is_required(given)]
    properties = {name: _schema(_unmarked(given), said) for name, given in parameters.items()}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _is_required(given: Mapping[str, Any]) -> bool:
    if isinstance(marked := given.get("required"), bool):
        return marked
    return "optional" not in str(given.get("type", "")).lower() and "default" not in given


def _schema(given: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """A schema whose types may be Python's, as JSON Schema."""
    kept = {
        key: _part(key, value, said) for key, value in given.items() if key != "type" and not _is_absent(key, value)
    }
    marked = [name for name, one in _named(given) if one.get("required") is True]
    if marked:  # a list of names is JSON Schema's way
        known = kept.get("required") if isinstance(kept.get("required"), list) else []
        kept["required"] = list(dict.fromkeys([*(known or []), *marked]))
    if "type" not in given:
        return kept
    made, words = _typed(given["type"])
    if made is None:
        said[KEPT_TYPE] += 1
        words = f"type: {given['type']}"
    if words:
        kept["description"] = " ".join(filter(None, [str(kept.get("description") or ""), f"({words})"]))
    return {**(made or {}), **kept}


def _is_absent(key: str, value: object) -> bool:
    """Whether a key says nothing. Tables write null for keys that only other objects have; a value may be null."""
    return value is None and key not in ("default", "const", "example")


def _part(key: str, value: Any, said: Said) -> Any:
    """What stands under a key of a schema."""
    if key in _SCHEMAS_BY_NAME and isinstance(value, dict):
        return {name: _schema(_unmarked(one), said) if isinstance(one, dict) else one for name, one in value.items()}
    if key in _SCHEMA_LISTS and isinstance(value, list):
        return [_schema(one, said) if isinstance(one, dict) else one for one in value]
    return _schema(value, said) if key in _ONE_SCHEMA and isinstance(value, dict) else value


def _named(schema: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    properties = schema.get("properties")
    items = properties.items() if isinstance(properties, dict) else ()
    return [(name, one) for name, one in items if isinstance(one, dict)]


def _unmarked(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the mark `required` of one parameter, which stands in the list of names."""
    return {key: value for key, value in schema.items() if key != "required" or not isinstance(value, bool)}


def _typed(written: object) -> tuple[dict[str, Any] | None, str]:
    """The schema of a type, None if it has none; and what is written behind the type, except "optional"."""
    if isinstance(written, list):
        names = [_PLAIN.get(name.lower()) if isinstance(name, str) else None for name in written]
        return ({"type": names}, "") if all(names) else (None, "")
    if not isinstance(written, str):
        return None, ""
    head, *rest = _split(written)
    words = ", ".join(word for word in rest if word.lower() != "optional")
    if head in _PLAIN.values():
        return {"type": head}, words
    return _of_type(type_of(ast.Constant(head))), words


def _split(written: str) -> list[str]:
    """The parts between the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for found in _COMMA.finditer(written):
        if found[0] == "," and depth <= 0:
            parts.append(written[start : found.start()].strip())
            start = found.end()
        depth += (found[0] in "[({") - (found[0] in "])}")
    return [*parts, written[start:].strip()]


def _of_type(kind: Type) -> dict[str, Any] | None:
    """A parsed type of Python as JSON Schema. None if it has no such form."""
    name = kind.name.lower()
    if name == "any":
        return {}
    if name == "|":
        return _union(kind)
    if name == "literal":
        return _enum(kind)
    if name in _SETS:
        return _array(kind, {"type": "array", "uniqueItems": True})
    if name == "tuple" and kind.inner:
        return _tuple(kind)
    if name not in _PLAIN:
        return None
    made: dict[str, Any] = {"type": _PLAIN[name]}
    if made["type"] == "object" and kind.inner:
        return _mapping(kind)
    return _array(kind, made) if made["type"] == "array" else None if kind.inner else made


def _union(kind: Type) -> dict[str, Any] | None:
    members = [_of_type(member) for member in kind.inner]
    return {"anyOf": members} if all(member is not None for member in members) else None


def _enum(kind: Type) -> dict[str, Any] | None:
    plain = kind.literals and all(isinstance(value, str | int | float | bool) for value in kind.literals)
    return {"enum": list(kind.literals)} if plain else None


def _array(kind: Type, made: dict[str, Any]) -> dict[str, Any] | None:
    if not kind.inner:
        return made
    items = _of_type(kind.inner[0]) if len(kind.inner) == 1 else None
    return None if items is None else {**made, "items": items} if items else made


def _tuple(kind: Type) -> dict[str, Any] | None:
    if kind.inner[-1].name == "...":
        return _array(Type(kind.text, "list", kind.inner[:-1]), {"type": "array"})
    members = [_of_type(member) for member in kind.inner]
    if any(member is None for member in members):
        return None
    return {"type": "array", "prefixItems": members, "minItems": len(members), "maxItems": len(members)}


def _mapping(kind: Type) -> dict[str, Any] | None:
    """`Dict[str, X]`. JSON has no other keys than texts."""
    if len(kind.inner) != 2 or _of_type(kind.inner[0]) not in ({"type": "string"}, {}):
        return None
    values = _of_type(kind.inner[1])
    return None if values is None else {"type": "object", **({"additionalProperties": values} if values else {})}
