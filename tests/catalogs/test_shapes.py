"""Lists of tools in every provider's form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.schemas import schemas
from topcoat.catalogs.read_tools import function_tool, name_of
from topcoat.catalogs.shapes import read_list
from topcoat.errors import InvalidInput

PLACE = Path("list.json")
Tool = dict[str, Any]


def function(tool: Tool) -> Tool:
    return dict(tool["function"])


def with_schema_as(key: str) -> Callable[[list[Tool]], list[Tool]]:
    def written(tools: list[Tool]) -> list[Tool]:
        return [{(key if k == "parameters" else k): value for k, value in function(tool).items()} for tool in tools]

    return written


Writer = Callable[[list[Tool]], Any]
WRITERS: dict[str, Writer] = {
    "OpenAI": lambda tools: tools,
    "OpenAI's Responses": lambda tools: [{"type": "function", **function(tool)} for tool in tools],
    "OpenAI's functions": with_schema_as("parameters"),
    "MCP": with_schema_as("inputSchema"),
    "Anthropic": with_schema_as("input_schema"),
    "Gemini": lambda tools: [{"functionDeclarations": with_schema_as("parametersJsonSchema")(tools)}],
}
AROUND: dict[str, Writer] = {
    "OpenAI": lambda items: {"model": "m", "tools": items},
    "OpenAI's Responses": lambda items: {"tools": items},
    "OpenAI's functions": lambda items: {"functions": items},
    "MCP": lambda items: {"jsonrpc": "2.0", "id": 1, "result": {"tools": items}},
    "Anthropic": lambda items: {"tools": items},
    "Gemini": lambda items: {"tools": items},
}


def tools() -> st.SearchStrategy[list[Tool]]:
    names = st.sampled_from(["read_file", "home.set_light", "get-pet", "tools", "функция"])
    made = st.builds(function_tool, names, st.sampled_from(["", "Reads."]), schemas())
    return st.lists(made, min_size=1, max_size=4)


@pytest.mark.parametrize("form", WRITERS)
@given(written=tools())
def test_every_form_of_the_same_tools_reads_the_same(form: str, written: list[Tool]) -> None:
    items = WRITERS[form](written)
    for document in (items, AROUND[form](items)):
        found = read_list(document, PLACE)
        assert (found.form, found.tools, found.left_out, found.notes) == (form, written, [], [])


@pytest.mark.parametrize("form", ["OpenAI", "OpenAI's Responses", "OpenAI's functions", "MCP", "Anthropic"])
def test_a_single_tool_is_a_list_of_one(form: str) -> None:
    written = [function_tool("a", "b", {"type": "object"})]
    assert read_list(WRITERS[form](written)[0], PLACE).tools == written


def test_an_openai_tool_stays_as_it_is_written() -> None:
    written = [{"type": "function", "function": {"name": "a", "strict": True, "parameters": {}}, "cache": 1}]
    assert read_list(written, PLACE).tools == written
    bare = {"function": {"name": "a"}}
    assert read_list([bare], PLACE).tools == [{"function": {"name": "a"}, "type": "function"}]


def test_what_the_list_has_no_place_for_is_told() -> None:
    item = {
        "name": "a",
        "title": "A tool",
        "description": "Reads.",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
        "icons": None,
    }
    found = read_list({"tools": [item, {**item, "name": "b", "description": None}]}, PLACE)
    assert [tool["function"].get("description") for tool in found.tools] == ["Reads.", "A tool"]
    assert {left.what: left.names for left in found.left_out} == {
        '"title", for which the list has no place': ("a",),
        '"outputSchema", for which the list has no place': ("a", "b"),
        '"annotations", for which the list has no place': ("a", "b"),
    }


def test_tools_that_are_no_functions_are_left_out() -> None:
    written = [
        {"name": "a", "input_schema": {"type": "object"}, "type": "custom"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "code_interpreter"},
        7,
    ]
    found = read_list(written, PLACE)
    assert [name_of(tool) for tool in found.tools] == ["a"]
    assert {left.what: left.names for left in found.left_out} == {
        "tools of type 'web_search_20250305', which are no functions": ("web_search",),
        "no tools, as they have no name": ("item 3", "item 4"),
    }


def test_a_tool_without_a_schema_takes_no_argument() -> None:
    (tool,) = read_list([{"name": "now", "parameters": None}], PLACE).tools
    assert tool["function"]["parameters"] == {"type": "object", "properties": {}}


def test_gemini_s_own_schemas_are_converted() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "room": {"type": "STRING", "nullable": True, "maxLength": "20", "example": "hall"},
            "levels": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "minItems": "1"},
        },
        "propertyOrdering": ["room", "levels"],
        "required": ["room"],
    }
    declared = {"name": "set_light", "parameters": schema, "response": {"type": "OBJECT"}}
    found = read_list({"function_declarations": [declared]}, PLACE)
    assert found.form == "Gemini"
    assert found.tools[0]["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "room": {"type": ["string", "null"], "maxLength": 20, "examples": ["hall"]},
            "levels": {"type": "array", "items": {"type": "integer", "format": "int32"}, "minItems": 1},
        },
        "required": ["room"],
    }
    assert [left.what for left in found.left_out] == ['"response", for which the list has no place']


def test_forms_may_be_mixed() -> None:
    found = read_list([{"name": "a", "inputSchema": {}}, {"type": "function", "function": {"name": "b"}}], PLACE)
    assert (found.form, [name_of(tool) for tool in found.tools]) == ("MCP and OpenAI", ["a", "b"])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (7, "must be a list of tools, or an object that holds one"),
        ([], "holds no tool"),
        ([1, {}], "holds no tool (no tools, as they have no name: item 1, item 2)"),
        ({"a": 1, "b": 2}, "holds no list of tools; its keys are a, b"),
        ({}, "holds no list of tools; its keys are none"),
    ],
    ids=["number", "empty", "nothing", "keys", "no keys"],
)
def test_a_document_without_tools_is_refused(document: object, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_list(document, PLACE)
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("server", "hint"),
    [
        (
            {"command": "npx", "args": ["-y", "@me/server", "my folder"]},
            """topcoat catalog import --mcp 'npx -y @me/server '"'"'my folder'"'"''""",
        ),
        ({"url": "https://host/mcp"}, "topcoat catalog import https://host/mcp"),
    ],
    ids=["command", "url"],
)
def test_a_list_of_mcp_servers_is_refused_with_the_import_of_the_first(server: Tool, hint: str) -> None:
    with pytest.raises(InvalidInput, match="lists MCP servers, not tools") as caught:
        read_list({"mcpServers": {"files": server}}, PLACE)
    assert caught.value.hint == hint
