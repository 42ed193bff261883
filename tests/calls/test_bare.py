"""Values without quotes are read as the tool's JSON Schema wants them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dialects import BARE, FAMILIES
from tests.support.mlx.families import TEMPLATES, make_family
from topcoat.calls.block import Direct
from topcoat.calls.markup import blocks
from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog


def agent_for(**properties: Any) -> Agent:
    """An agent with one tool, `tool`, whose arguments have these schemas."""
    defs = {"Unit": {"enum": ["c", "f"]}, "Level": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}
    parameters = {"type": "object", "properties": properties, "$defs": defs}
    tools = [{"type": "function", "function": {"name": "tool", "parameters": parameters}}]
    return Agent(own_catalog(tools, Path("tools.json")), calls="native")


TEXT = {"type": "string"}
READ: list[tuple[Any, str, object]] = [
    (TEXT, "1", "1"),
    (TEXT, "true", "true"),
    (TEXT, "null", "null"),
    ({"type": "string", "default": None}, "null", None),
    ({"type": "string", "default": None}, "nullify", "nullify"),
    ({"type": "string", "default": "a"}, "null", "null"),
    (TEXT, '["a"]', '["a"]'),
    (TEXT, " two\nlines ", " two\nlines "),
    ({"enum": ["1", "2"]}, "1", "1"),
    ({"enum": ["1", "2"]}, "3", "3"),
    ({"enum": [1, "auto"]}, "1", 1),
    ({"enum": [1, "auto"]}, "auto", "auto"),
    ({"const": "7"}, "7", "7"),
    ({"anyOf": [TEXT, {"type": "integer"}]}, "1", "1"),
    ({"type": ["string", "integer"]}, "1", "1"),
    ({"$ref": "#/$defs/Unit"}, "c", "c"),
    ({"anyOf": [{"$ref": "#/properties/other"}, {"type": "null"}]}, "5", 5),
    ({"anyOf": [{"$ref": "#/properties/word"}, {"type": "null"}]}, "5", "5"),
    ({"$ref": "#/$defs/Unit"}, "5", "5"),
    ({"$ref": "#/$defs/Level"}, "5", 5),
    ({"$ref": "#/$defs/Level"}, "None", None),
    ({"type": ["string", "null"]}, "null", None),
    ({"type": ["string", "null"]}, "1", "1"),
    ({"anyOf": [TEXT, {"type": "array", "items": TEXT}]}, '["a", "b"]', ["a", "b"]),
    ({"anyOf": [TEXT, {"type": "array", "items": TEXT}]}, "[1, 2]", "[1, 2]"),
    ({"type": "integer"}, "5", 5),
    ({"type": "integer"}, " 5 ", 5),
    ({"type": "integer"}, "five", "five"),
    ({"type": "integer"}, "2.5", 2.5),
    ({"type": "integer"}, '"5"', "5"),
    ({"type": "number"}, "1e3", 1000.0),
    ({"type": "number"}, "NaN", "NaN"),
    ({"type": "boolean"}, "True", True),
    ({"type": "boolean"}, "FALSE", False),
    ({"type": "boolean"}, "yes", "yes"),
    ({"type": "null"}, "None", None),
    ({"type": "array"}, "['a', True, None]", ["a", True, None]),
    ({"type": "array"}, "[f(1)]", "[f(1)]"),
    ({"type": "object"}, "{'a': (1, 2)}", {"a": [1, 2]}),
    ({"type": "object"}, '{"a": {"b": null}}', {"a": {"b": None}}),
    ({}, "1", 1),
    ({"description": "anything"}, "one", "one"),
]


@pytest.mark.parametrize("family", BARE)
@pytest.mark.parametrize(("schema", "written", "expected"), READ)
def test_a_value_is_what_its_schema_wants(family: str, schema: Any, written: str, expected: object) -> None:
    (call,) = parse(
        FAMILIES[family]([("tool", {"x": written})]), agent_for(x=schema, other={"type": "integer"}, word=TEXT)
    ).calls
    assert json.dumps(call.kwargs) == json.dumps({"x": expected})


def test_without_a_schema_what_is_json_is_read_as_json() -> None:
    for agent in (None, agent_for(y=TEXT)):
        text = FAMILIES["qwen3-coder"]([("tool", {"x": "1", "z": "True", "list": "[1]"})])
        assert blocks(text, agent) == [Direct("tool", {"x": 1, "z": "True", "list": [1]})]


def test_natively_execute_code_is_a_tool_with_all_its_arguments() -> None:
    parameters = {"type": "object", "properties": {"code": TEXT, "timeout": {"type": "integer"}, "shell": TEXT}}
    tools = [{"type": "function", "function": {"name": "execute_code", "parameters": parameters}}]
    agent = Agent(own_catalog(tools, Path("tools.json")), calls="native")
    for family in ("qwen3-coder", "hermes", "minimax"):
        arguments = {"code": "print(1)", "timeout": 5, "shell": "1"}
        (call,) = parse(FAMILIES[family]([("execute_code", arguments)]), agent).calls
        assert call.kwargs == arguments


words = st.text("aé ,:()[]{}'\"\\\n-=/<1", max_size=8) | st.sampled_from(
    ["1", "2.5", "true", "None", "null", "[1]", '{"a": 1}', "'a'", '"a"', "\n", " 1 ", "-0", "1e5", "NaN"]
)
scalars = {
    "string": words,
    "integer": st.integers(),
    "number": st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "null": st.none(),
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
structured = {"array": st.lists(anything, max_size=3), "object": st.dictionaries(words, anything, max_size=3)}
kinds = {**scalars, **structured}


@st.composite
def typed(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """A schema, and a value that fits it. Of a union, a text is none that another member could be written as."""
    names = draw(st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=2, unique=True))
    name = draw(st.sampled_from(names))
    value = draw(kinds[name])
    if "string" in names and len(names) > 1:
        other = next(one for one in names if one != "string")
        if name == "string":
            value = f"a {value}"
        elif other in ("integer", "number", "boolean"):
            names.remove("string")  # a number beside a text: what is written is the text
    forms: list[dict[str, Any]] = [{"anyOf": [{"type": one} for one in names]}, {"type": names}]
    if len(names) == 1:
        forms = [{"type": names[0]}, {"enum": [value]}, {"allOf": [{"type": names[0]}]}]
    return draw(st.sampled_from(forms)), value


@cache
def rendered_by(template: str) -> Any:
    folder = TemporaryDirectory()
    made = make_family(Path(folder.name) / template, "qwen3", (TEMPLATES / f"{template}.jinja").read_text())
    return folder, made


@pytest.mark.parametrize("family", ["qwen3_coder", "glm4", "minimax", *BARE])
@settings(deadline=None, max_examples=150)
@given(given_arguments=st.dictionaries(st.sampled_from(["x", "y", "a_b"]), typed(), max_size=3))
def test_what_a_template_renders_is_read_with_the_same_types(
    family: str, given_arguments: dict[str, tuple[dict[str, Any], Any]]
) -> None:
    arguments = {name: value for name, (_, value) in given_arguments.items()}
    agent = agent_for(**{name: schema for name, (schema, _) in given_arguments.items()})
    if family in FAMILIES:
        answer = FAMILIES[family]([("tool", arguments)])
    else:
        user = {"role": "user", "content": "q"}
        call = {"type": "function", "function": {"name": "tool", "arguments": arguments}}
        turns = [user, {"role": "assistant", "content": "", "tool_calls": [call]}]
        answer = rendered_by(family)[1].render(turns, tools=agent.catalog.declared)
    (read,) = parse(answer, agent).calls
    assert json.dumps(read.kwargs, sort_keys=True) == json.dumps(arguments, sort_keys=True)
