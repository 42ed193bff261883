"""Catalogs written as lists of tools: what each form means, what is wrong and on which line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.errors import InvalidInput
from topcoat.spec.tools.catalog import NO_DEFAULT
from topcoat.spec.tools.json_schema import schema_fault
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import own_catalog, parse_tool_list, tool_faults

PATH = Path("tools.json")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        "city": {"type": "string"},
        "days": {"type": ["integer", "null"]},
        "near": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["city"],
}
OPENAI = {"type": "function", "function": {"name": "home.get-weather", "description": "Ask.", "parameters": SCHEMA}}


def test_openai_s_list_and_mcp_s_answer_give_the_same_tools() -> None:
    mcp = {"tools": [{"name": "home.get-weather", "description": "Ask.", "inputSchema": SCHEMA}]}
    envelope = {"jsonrpc": "2.0", "id": 1, "result": mcp}
    ours, theirs, whole = (parse_tool_list(json.dumps(one), PATH) for one in ([OPENAI], mcp, envelope))
    assert ours.declared == theirs.declared == whole.declared == [OPENAI]
    assert ours.digest == theirs.digest
    tool = ours.tools["home.get-weather"]
    assert tool.schema == SCHEMA
    assert [(p.name, p.type.text, p.has_default, p.default) for p in tool.parameters] == [
        ("city", "str", False, NO_DEFAULT),
        ("unit", "Literal['C', 'F']", True, "C"),
        ("days", "int | None", True, NO_DEFAULT),
        ("near", "list[float]", True, NO_DEFAULT),
    ]


def test_a_tool_without_parameters_takes_none() -> None:
    (tool,) = parse_tool_list('[{"type": "function", "function": {"name": "now"}}]', PATH).tools.values()
    assert tool.schema == {"type": "object", "properties": {}}
    assert tool.parameters == ()


def test_stubs_are_made_of_the_tools_that_python_can_call() -> None:
    tools = [OPENAI, {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
    catalog = parse_tool_list(json.dumps(tools), PATH)
    assert list(catalog.tools) == ["home.get-weather", "look"]
    again = parse_stubs(catalog.source, Path("tools.pyi"))
    assert list(again.tools) == ["look"]
    assert [p.name for p in again.tools["look"].parameters] == ["city", "unit", "days", "near"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (3, "a tool is an object"),
        ({"type": "function", "function": 3}, '"function" must be an object'),
        ({"type": "web_search"}, 'a tool of type "web_search" has no schema'),
        ({"type": "function", "function": {"parameters": {}}}, 'a tool needs a "name"'),
        ({"name": " x"}, "' x' is no name of a tool"),
        ({"name": "x", "parameters": {"type": "string"}}, "must be an object's schema"),
        ({"name": "x", "parameters": {"type": "object", "properties": []}}, 'properties of "x" must be an object'),
        (
            {"name": "x", "parameters": {"properties": {"a": {"type": "str"}}}},
            'parameters of "x" are not a JSON schema',
        ),
        ({"name": "x", "parameters": {"properties": {"a": {"enum": []}}}}, "enum is empty"),
        ({"name": "x", "parameters": []}, "are not a JSON schema"),
    ],
)
def test_what_is_wrong_with_a_tool_is_said_with_its_line(tmp_path: Path, item: Any, message: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(f"[\n{json.dumps(OPENAI)},\n{json.dumps(item)}]")
    with pytest.raises(InvalidInput) as caught:
        load_catalog(path)
    (mistake,) = caught.value.mistakes
    assert message in mistake.message
    assert mistake.where is not None
    assert mistake.where.line == 3


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_tool_list('[{"name": "x", "parameters": {}, "parameters": {"type": "object"}}]', PATH)
    assert [mistake.message for mistake in caught.value.mistakes] == ['the key "parameters" is written twice']


def test_a_name_stands_once(tmp_path: Path) -> None:
    assert tool_faults([OPENAI, OPENAI]) == [(1, '"home.get-weather" is already the name of tool 1')]


@pytest.mark.parametrize(
    "source", ["", "{", "[]", "{}", '{"tools": 3}', '"x"', "[" * 100_000, "[NaN]", '{"result": {}}']
)
def test_a_file_that_is_no_list_of_tools_is_refused(source: str) -> None:
    with pytest.raises(InvalidInput):
        parse_tool_list(source, PATH)


def test_a_literal_that_names_a_member_says_nothing_about_its_values() -> None:
    source = "def f(a: Literal[Color.RED, 'x'], b: Literal[-1, 'x'], c: Literal[None]) -> None: ..."
    schema = parse_stubs(source, Path("tools.pyi")).tools["f"].schema
    assert schema["properties"] == {"a": {}, "b": {"enum": [-1, "x"]}, "c": {"enum": [None]}}


ANNOTATIONS = st.recursive(
    st.sampled_from(["str", "int", "float", "bool", "Literal['a', 'b']", "Any", "dict[str, int]", "Item"]),
    lambda inner: st.builds("list[{}]".format, inner) | st.builds("{} | None".format, inner),
    max_leaves=4,
)


@given(st.lists(st.tuples(ANNOTATIONS, st.booleans()), max_size=4))
def test_stubs_become_schemas_and_schemas_become_the_same_parameters(annotated: list[tuple[str, bool]]) -> None:
    """Law: a tool's schema is valid and names its parameters and the required ones; read again, they are the same."""
    ordered = sorted(annotated, key=lambda pair: pair[1])
    parameters = [f"p{i}: {kind}{' = ...' if default else ''}" for i, (kind, default) in enumerate(ordered)]
    catalog = parse_stubs(f"class Item:\n    a: int\ndef f({', '.join(parameters)}) -> None: ...", Path("tools.pyi"))
    tool = catalog.tools["f"]
    assert schema_fault(tool.schema) == ""
    again = own_catalog(catalog.declared, PATH).tools["f"]
    assert [(p.name, p.has_default) for p in again.parameters] == [(p.name, p.has_default) for p in tool.parameters]
    assert again.schema == tool.schema
