"""The leaderboard's types in JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leaderboard import function
from topcoat.spec.tools.tool_list import tool_faults
from topcoat.suites.bfcl.tools import tools_of


def converted(schema: dict[str, Any]) -> Any:
    (tool,) = tools_of([function("f", value=schema)])
    return tool["function"]["parameters"]["properties"]["value"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"type": "float", "default": 1.5}, {"type": "number", "default": 1.5}),
        ({"type": "string", "enum": ["dict", "float"]}, {"type": "string", "enum": ["dict", "float"]}),
        ({"type": "any", "description": "d"}, {"description": "d"}),
        ({"type": "tuple", "items": {"type": "float"}}, {"type": "array", "items": {"type": "number"}}),
        (
            {"type": "array", "items": {"type": "dict", "properties": {"at": {"type": "tuple"}}}},
            {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "array"}}}},
        ),
        (
            {"type": "dict", "properties": {"type": {"type": "any"}, "items": {"type": "float"}}},
            {"type": "object", "properties": {"type": {}, "items": {"type": "number"}}},
        ),
        (
            {"type": "dict", "additionalProperties": {"type": "float"}},
            {"type": "object", "additionalProperties": {"type": "number"}},
        ),
    ],
)
def test_types_become_json_schema_s_at_any_depth(written: dict[str, Any], meant: dict[str, Any]) -> None:
    assert converted(written) == meant


def test_a_tool_keeps_its_name_its_words_and_what_it_requires() -> None:
    written = function("toys.fly_kite", ["colour"], colour="string")
    (tool,) = tools_of([written])
    parameters = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    assert tool == {
        "type": "function",
        "function": {"name": "toys.fly_kite", "description": "Calls toys.fly_kite.", "parameters": parameters},
    }


_LEAVES = st.sampled_from(["string", "integer", "float", "boolean", "any", "tuple", "array", "dict"]).map(
    lambda name: {"type": name}
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        st.dictionaries(st.sampled_from(["type", "items", "x"]), inner).map(
            lambda properties: {"type": "dict", "properties": properties}
        ),
    ),
    max_leaves=12,
)


@given(_SCHEMAS)
def test_every_schema_of_its_types_becomes_a_valid_one(schema: dict[str, Any]) -> None:
    assert tool_faults(tools_of([function("f", value=schema)])) == []
