from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from topcoat.errors import InvalidInput
from topcoat.examples.draft import read_draft
from topcoat.examples.skeleton import schema_signature, skeleton
from topcoat.spec.agent import Agent
from topcoat.spec.tools.catalog import Tool
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import own_catalog

PATH = Path("new.jsonl.draft")
CODE = Agent(parse_stubs("def read_file(path: str) -> str: ...\n", Path("tools.pyi")), "You call tools.\n")


def tool(name: str, *required: str, **properties: Any) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return own_catalog([{"name": name, "inputSchema": schema}], Path("tools.json")).tools[name]


def native(*tools: Tool) -> str:
    agent = Agent(own_catalog([dict(one.declared) for one in tools], Path("tools.json")), "You call tools.", "native")
    return skeleton("files", agent, tools)


def test_a_filled_in_program_is_an_example() -> None:
    text = skeleton("files", CODE, list(CODE.catalog.tools.values()))
    assert "#   read_file(path: str)\n" in text
    filled = text.replace("=== user\n", "=== user\nOpen a.py\n").replace("=code>\n", '=code>\nprint(read_file("a.py"))')
    example = read_draft(filled, PATH, "files")
    assert [m.role for m in example.messages] == ["system", "user", "assistant"]
    assert example.messages[0].content == "You call tools."
    assert example.messages[1].content == "Open a.py"
    assert example.category == "files"
    assert "=== call" not in text


def test_a_filled_in_call_is_an_example() -> None:
    light = tool("set light", "room", "on", room={"enum": ["attic"]}, on={"type": "boolean"}, hue={"type": "integer"})
    text = native(light)
    assert '#   set light(room: "attic", on: boolean, hue?: integer)\n' in text
    assert "execute_code" not in text
    filled = text.replace("=== user\n", "=== user\nLight!\n").replace('"room": ', '"room": "attic"')
    example = read_draft(filled.replace('"on": ', '"on": true'), PATH, "files")
    calls = example.messages[-1].tool_calls or []
    assert [call["function"] for call in calls] == [{"name": "set light", "arguments": {"room": "attic", "on": True}}]


def test_what_is_not_filled_in_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_draft(native(tool("look", "path", path={"type": "string"})), PATH, "files")
    assert [mistake.message for mistake in caught.value.mistakes] == [
        "the user turn is empty",
        "not JSON: Expecting value",
    ]


def test_a_category_without_calls_and_a_tool_without_arguments() -> None:
    assert native(tool("look")).endswith("=== user\n\n=== call look\n{}\n")
    agent = replace(CODE, calls="native", system_prompt="")
    assert skeleton("talk", agent, []).endswith("=== user\n\n=== assistant\n\n")
    assert "=== system" not in skeleton("talk", agent, [])


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["integer", "null"]}, "integer | null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"const": "é"}, '"é"'),
        ({"type": "array", "items": {"type": "number"}}, "number[]"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, '("a" | "b")[]'),
        ({"type": "array"}, "any[]"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "string | string[]"),
        ({"type": "object"}, "object"),
        (
            {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]},
            "{a: string, b?: any}",
        ),
        ({}, "any"),
        (True, "any"),
    ],
    ids=json.dumps,
)
def test_types_are_those_of_the_schema(schema: object, shown: str) -> None:
    assert schema_signature(tool("f", "x", x=schema)) == f"f(x: {shown})"
