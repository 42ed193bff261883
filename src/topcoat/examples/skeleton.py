"""The draft that a new example begins as: the system prompt, the tools at hand, and a call to fill in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from topcoat.calls.programs import signature
from topcoat.spec.agent import Agent
from topcoat.spec.tools.catalog import Tool

__all__ = ["schema_signature", "skeleton"]

_PROGRAM = """\
=== assistant
<tool_call><function=execute_code>
<parameter=code>

</parameter>
</function></tool_call>
"""
_DEEPEST = 4
"""How deep the types of objects and lists are written out."""


def skeleton(category: str, agent: Agent, tools: Sequence[Tool]) -> str:
    """A draft to fill in. `tools` are those that cases of the category expect: their signatures are shown.

    Natively, the first one's call is there with the arguments that it needs, each without a value.
    """
    native = agent.calls == "native"
    signatures = [schema_signature(tool) if native else signature(tool) for tool in tools]
    shown = "".join(f"#   {one}\n" for one in signatures)
    remark = f"# A new example of {category}. Write what the user asks and what the model should answer.\n"
    remark += f"# The tools of this category:\n{shown}" if shown else ""
    if native:
        remark += '# Calls stand under "=== call NAME" with their arguments as JSON, results under "=== result NAME".\n'
    system = agent.system_prompt.strip()
    opening = f"=== system\n{system}\n" if system else ""
    return f"{remark}{opening}=== user\n\n{_answer(tools) if native else _PROGRAM}"


def _answer(tools: Sequence[Tool]) -> str:
    if not tools:
        return "=== assistant\n\n"
    name = tools[0].name
    heading = name if not any(c.isspace() for c in name) else json.dumps(name, ensure_ascii=False)
    required = tools[0].schema.get("required") or ()
    lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}: " for one in required)
    return f"=== call {heading}\n" + (f"{{\n{lines}\n}}\n" if lines else "{}\n")


def schema_signature(tool: Tool) -> str:
    """A tool's name and its parameters with their types, much as in TypeScript: `wait(seconds: integer, why?: string)`.

    A question mark means that the parameter may be left out.
    """
    schema = tool.schema
    required = schema.get("required") or ()
    properties = schema.get("properties") or {}
    names = sorted(dict.fromkeys([*required, *properties]), key=lambda name: name not in required)
    parts = [f"{name}{_mark(name, required)}: {_type(properties.get(name), 0)}" for name in names]
    return f"{tool.name}({', '.join(parts)})"


def _mark(name: str, required: Sequence[str]) -> str:
    return "" if name in required else "?"


def _type(schema: object, depth: int) -> str:
    """A JSON Schema as a type."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "any"
    if isinstance(values := schema.get("enum"), list):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    for key in ("anyOf", "oneOf"):
        if isinstance(members := schema.get(key), list):
            return " | ".join(dict.fromkeys(_type(member, depth + 1) for member in members))
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return " | ".join(_type({**schema, "type": kind}, depth) for kind in kinds)
    if kinds == "array":
        item = _type(schema.get("items"), depth + 1)
        return f"({item})[]" if " | " in item else f"{item}[]"
    return _object(schema, depth) if kinds == "object" and schema.get("properties") else str(kinds or "any")


def _object(schema: Mapping[str, Any], depth: int) -> str:
    required = schema.get("required") or ()
    parts = [f"{name}{_mark(name, required)}: {_type(kind, depth + 1)}" for name, kind in schema["properties"].items()]
    return f"{{{', '.join(parts)}}}"
