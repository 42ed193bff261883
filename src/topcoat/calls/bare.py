"""Reads the values that a dialect writes without quotes, as their parameters' JSON Schemas want them.

Qwen3-Coder, GLM, MiniMax and others write the text "1" and the number 1 alike. Where a parameter may be a text, the
value is that text as it is written; null is null where that is the default. Everything else is read as JSON, or as a
literal in Python's spelling, such as `True`. If null, a list or an object is allowed beside a text, a value that is
written as one is one. Without a schema, whatever is JSON is read as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from topcoat.calls.block import CUT, EXECUTE_CODE, Bare, Block, Broken, Code, Direct
from topcoat.calls.dialects.pythonic import UNKNOWN, literal
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import canonical_json
from topcoat.spec.python_source import parse_expression
from topcoat.spec.tools.catalog import Tool
from topcoat.spec.tools.json_schema import fits

__all__ = ["taken"]

Schema = Mapping[str, Any]

_TYPING: Final = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"})
"""The keys of a schema that say which types a value may have."""
_CONTEXT: Final = ("$schema", "$defs", "definitions")
"""The keys of an object's schema that a property's schema may refer to."""
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "none": None}
_LONGEST_LITERAL: Final = 20_000
"""The most characters that are read as Python; JSON may be longer."""
_DEEPEST: Final = 8


def taken(block: Block, agent: Agent | None) -> Block:
    """The call as the agent's tools take it, with every value read. Without an agent, no schema is known.

    Natively, execute_code is a tool like any other.
    """
    if isinstance(block, Code):
        if agent is None or agent.calls == "code":
            return block
        block = Broken(CUT) if block.cut else Direct(EXECUTE_CODE, block.arguments)
    if isinstance(block, Broken) or not any(isinstance(value, Bare) for value in block.arguments.values()):
        return block
    tool = agent.catalog.tools.get(block.name) if agent else None
    arguments = block.arguments.items()
    return Direct(block.name, {k: _read(v.text, k, tool) if isinstance(v, Bare) else v for k, v in arguments})


def _read(text: str, name: str, tool: Tool | None) -> object:
    """The value of the tool's argument `name` that is written as `text`."""
    schema = _property(tool.schema, name) if tool else {}
    if schema.get("type") == "string":
        left_out = "default" in schema and schema["default"] is None and text.strip() == "null"
        return None if left_out else text
    if tool is None or not _TYPING & schema.keys():
        document = _json(text)
        return text if document is UNKNOWN else document
    document = _document(text)
    context = {key: tool.schema[key] for key in _CONTEXT if key in tool.schema}
    inside = "#/properties" in canonical_json(schema)  # one property's schema may refer to another's
    context["properties"] = {**(tool.schema.get("properties") or {}), name: schema} if inside else {name: schema}
    fitting = document is not UNKNOWN and _fits(context, name, document)
    if fitting and (document is None or isinstance(document, list | dict)):
        return document
    if _fits(context, name, text):
        return text
    wanted = fitting or (document is not UNKNOWN and not _takes_text(schema, tool.schema))
    return document if wanted else text


def _property(schema: Schema, name: str) -> Schema:
    """What `schema`, an object's, says about one property. Empty if it says nothing."""
    found = (schema.get("properties") or {}).get(name, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def _json(text: str) -> object:
    """The JSON document that `text` is. `UNKNOWN` for anything else."""
    try:
        document: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return UNKNOWN
    return document


def _document(text: str) -> object:
    """The value of `text` in JSON or in Python's spelling. `UNKNOWN` if it is neither."""
    document = _json(text)
    word = text.strip().lower()
    if document is not UNKNOWN or word in _CONSTANTS:
        return _CONSTANTS[word] if document is UNKNOWN else document
    if len(text) > _LONGEST_LITERAL:
        return UNKNOWN
    try:
        return literal(parse_expression(text.strip()))
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return UNKNOWN


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _fits(schema: Schema, name: str, value: object) -> bool:
    """Whether `value` fits what an object's schema says about its property `name`."""
    try:
        return fits(schema, {name: value})
    except (ValueError, RecursionError):  # nested too deeply, or half a surrogate pair
        return False


def _takes_text(schema: object, root: Schema, depth: int = 0) -> bool:
    """Whether a value of `schema` may be a text, whichever it is."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return False
    kinds = schema.get("type", [])
    if "string" in ([kinds] if isinstance(kinds, str) else kinds):
        return True
    if any(isinstance(value, str) for value in [*(schema.get("enum") or ()), schema.get("const")]):
        return True
    parts = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key) or ()]
    return any(_takes_text(part, root, depth + 1) for part in [*parts, _referred(schema.get("$ref"), root)])


def _referred(reference: object, root: Schema) -> object:
    """What a reference inside of the same schema refers to. None for others."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: object = root
    for key in reference[2:].split("/"):
        found = found.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
