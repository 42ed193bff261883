"""Signatures and JSON Schemas, made from each other: a tool has both, however its catalog is written."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.tools.catalog import NO_DEFAULT, Catalog, Parameter, ResultClass, Tool
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = ["declaration", "parameters_of", "require_callable", "stubs_of"]

Schema = Mapping[str, Any]
Results = Mapping[str, ResultClass]

_DEEPEST = 8
"""How deep classes that hold classes are written out."""
_OF_NAME: Mapping[str, Schema] = {
    "str": {"type": "string"},
    "Path": {"type": "string"},
    "bytes": {"type": "string"},
    "datetime": {"type": "string"},
    "date": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
}
_LISTS = frozenset({"list", "List", "Sequence", "Iterable", "set", "Set", "frozenset", "FrozenSet", "Collection"})
_TUPLES = frozenset({"tuple", "Tuple"})
_DICTS = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})
_WRAPPERS = frozenset({"Annotated", "Final", "Required", "NotRequired", "ReadOnly"})
_OF_TYPE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def declaration(tool: Tool, results: Results) -> dict[str, Any]:
    """A stub's tool in OpenAI's form. Its docstring is the description. `*args` can't be given by name: left out."""
    named = [p for p in tool.parameters if p.kind not in ("var_positional", "var_keyword")]
    properties = {p.name: _property(p, results) for p in named}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required := [p.name for p in named if not p.has_default]:
        schema["required"] = required
    schema["additionalProperties"] = any(p.kind == "var_keyword" for p in tool.parameters)
    described = {"description": tool.doc} if tool.doc else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": schema}}


def _property(parameter: Parameter, results: Results) -> dict[str, Any]:
    schema = _schema_of(parameter.type, results, 0)
    shown = parameter.default is not NO_DEFAULT and not isinstance(parameter.default, tuple | set | bytes)
    return {**schema, "default": parameter.default} if shown else dict(schema)


def _schema_of(kind: Type, results: Results, depth: int) -> Schema:
    """The JSON Schema of a type. An empty one, which everything fits, for a type that JSON doesn't know."""
    if kind.name == "|":
        return {"anyOf": [_schema_of(member, results, depth) for member in kind.inner]}
    if kind.name == "Literal":
        return {"enum": list(kind.literals)} if kind.literals else {}
    if kind.name in _WRAPPERS and kind.inner:
        return _schema_of(kind.inner[0], results, depth)
    if kind.name in _LISTS | _TUPLES:
        alike = kind.inner[:1] if kind.name in _LISTS or kind.inner[1:] == (plain("..."),) else ()
        return {"type": "array", "items": _schema_of(alike[0], results, depth)} if alike else {"type": "array"}
    if kind.name in _DICTS:
        value = _schema_of(kind.inner[1], results, depth) if len(kind.inner) == 2 else {}
        return {"type": "object", "additionalProperties": value} if value else {"type": "object"}
    if kind.name in results:
        return _fields(results[kind.name], results, depth + 1) if depth < _DEEPEST else {"type": "object"}
    return _OF_NAME.get(kind.name, {})


def _fields(result: ResultClass, results: Results, depth: int) -> Schema:
    properties = {name: _schema_of(kind, results, depth) for name, kind in result.fields.items()}
    return {"type": "object", "properties": properties}


def parameters_of(schema: Schema) -> tuple[Parameter, ...]:
    """The parameters that an object's schema describes, the required ones first, each also positional."""
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    ordered = sorted(properties, key=lambda name: name not in required)
    return tuple(
        Parameter(
            name,
            _type_of(properties[name]),
            name not in required,
            "positional_or_keyword",
            properties[name].get("default", NO_DEFAULT) if isinstance(properties[name], Mapping) else NO_DEFAULT,
        )
        for name in ordered
    )


def _type_of(schema: object) -> Type:
    """The Python type of a JSON Schema. UNKNOWN if it has none."""
    if not isinstance(schema, Mapping):
        return UNKNOWN
    values = schema.get("enum")
    if isinstance(values, list) and values and all(v is None or isinstance(v, str | int) for v in values):
        return Type(f"Literal[{', '.join(map(repr, values))}]", "Literal", literals=tuple(values))
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _union([_type_of({**schema, "type": kind}) for kind in kinds])
    for joined in ("anyOf", "oneOf"):
        if isinstance(schema.get(joined), list) and schema[joined]:
            return _union([_type_of(member) for member in schema[joined]])
    if kinds == "array":
        item = _type_of(schema.get("items"))
        return Type(f"list[{item.text}]", "list", (item,)) if item.text else plain("list")
    if kinds == "object":
        return plain("dict")
    return plain(_OF_TYPE[kinds]) if isinstance(kinds, str) and kinds in _OF_TYPE else UNKNOWN


def _union(members: Sequence[Type]) -> Type:
    if any(not member.text for member in members):
        return UNKNOWN
    flat = [part for member in members for part in (member.inner if member.name == "|" else (member,))]
    if len(flat) == 1:
        return flat[0]
    return Type(" | ".join(part.text for part in flat), "|", tuple(flat))


def stubs_of(tools: Sequence[Tool]) -> str:
    """Stubs of the tools that Python can call. Those whose name, or a parameter's, isn't Python's are left out."""
    lines = ["from typing import Any, Literal", ""]
    for tool in tools:
        if not _unnameable(tool):
            lines.append(f"def {tool.name}({', '.join(_stub_parameters(tool))}) -> Any: ...")
    return "\n".join(lines) + "\n"


def _stub_parameters(tool: Tool) -> Iterator[str]:
    for parameter in tool.parameters:
        default = " = ..." if parameter.has_default else ""
        yield f"{parameter.name}: {parameter.type.text or 'Any'}{default}"


def require_callable(catalog: Catalog, calls: Literal["code", "native"]) -> None:
    """Raise `InvalidInput` with each name of the catalog that a program can't write, if programs call the tools."""
    mistakes = [
        Mistake(f"a program can't {use}: the name isn't Python's", Where(catalog.path, tool.line), 'calls = "native"')
        for tool in (catalog.tools.values() if calls == "code" else ())
        for use in _unnameable(tool)
    ]
    if mistakes:
        raise InvalidInput.collect(str(catalog.path), mistakes)


def _unnameable(tool: Tool) -> list[str]:
    """What a program can't do with the tool, because Python has no such names."""
    unusable = [] if _is_name(tool.name) else [f'call "{tool.name}"']
    return unusable + [f'give "{p.name}" to {tool.name}' for p in tool.parameters if not _is_name(p.name)]


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)
