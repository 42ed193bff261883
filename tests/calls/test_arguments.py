from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from topcoat.calls.arguments import argument_problems
from topcoat.spec.tools.catalog import Tool
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import own_catalog


def tool_with(**parameters: Any) -> Tool:
    function = {"name": "find", "parameters": {"type": "object", **parameters}}
    return own_catalog([{"type": "function", "function": function}], Path("tools.json")).tools["find"]


def messages(tool: Tool, given: dict[str, Any]) -> list[str]:
    return [problem.message for problem in argument_problems(tool, given)]


def test_a_stubs_tool_is_checked_by_the_schema_that_its_signature_gives() -> None:
    stubs = "def find(pattern: str, count: int = 1, *, deep: bool | None = None) -> str: ..."
    find = parse_stubs(stubs, Path("tools.pyi")).tools["find"]
    assert messages(find, {"pattern": "a", "count": 3, "deep": None}) == []
    assert messages(find, {"pattern": 3}) == ["find is given 3 for pattern, which must be string"]
    assert sorted(messages(find, {"count": "x", "where": "."})) == [
        "find has no parameter where",
        "find is called without pattern",
        "find is given 'x' for count, which must be integer",
    ]


GIVEN = "find is given 'x' for more, which"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, []),
        ({"properties": {}}, ["find has no parameter more"]),
        ({"properties": {}, "additionalProperties": True}, []),
        ({"properties": {}, "additionalProperties": {"type": "integer"}}, [f"{GIVEN} must be integer"]),
        ({"properties": {"more": {"pattern": "^y"}}}, [f'{GIVEN} doesn\'t fit: "x" does not match "^y"']),
        ({"properties": {"more": {"type": "null", "default": "x"}}}, []),
        ({"properties": {"more": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"const": "x"}}}, []),
    ],
)  # fmt: skip
def test_what_a_schema_takes(parameters: dict[str, Any], expected: list[str]) -> None:
    assert messages(tool_with(**parameters), {"more": "x"}) == expected


def test_arguments_that_are_no_json_are_a_problem_and_no_crash() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    (message,) = messages(tool_with(), {"more": deep})
    assert message.startswith("the arguments of find can't be checked")
    assert messages(tool_with(properties={"more": {"type": "string"}}), {"more": "\ud800"}) == []
    assert "can't be checked" in messages(tool_with(), {"more": float("nan")})[0]
