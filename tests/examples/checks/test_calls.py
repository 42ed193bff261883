from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import CATALOG, call, dialogue, located
from topcoat.examples.checks.calls import check_calls
from topcoat.examples.checks.codes import CODES
from topcoat.spec.agent import Agent


def codes(data: dict[str, Any]) -> list[str]:
    return [finding.code for finding in check_calls([located(data, 1)], Agent(CATALOG))]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (call('print(read_file("a"))'), []),
        ("It is a text file.", []),
        ('<tool_call>{"name": "read_file", "arguments": {"path": "a"}}</tool_call>', []),
        ('<tool_call>{"name": "read_file", "arguments": {"file": "a"}}</tool_call>', ["wrong-arguments"] * 2),
        ("<tool_call><function=wipe></function></tool_call>", ["unknown-tool"]),
        ('<tool_call>{"name": </tool_call>', ["broken-call"]),
        (call(""), ["broken-call"]),
        ("<tool_call><function=execute_code>\n<parameter=code>\nread_file('x')", ["broken-call"]),
        (call("wipe()") + call("wipe()"), ["unknown-tool"]),
    ],
)
def test_calls_in_text(answer: str, expected: list[str]) -> None:
    assert codes(dialogue("q", answer)) == expected


def test_calls_under_their_own_key() -> None:
    data = dialogue("q", "")
    for function, expected in (
        ({"name": "read_file", "arguments": '{"path": "a"}'}, []),
        ({"name": "wipe", "arguments": {}}, ["unknown-tool"]),
        ({"name": "read_file", "arguments": "{"}, ["broken-call"]),
        ({"name": "read_file", "arguments": '{"path": "<tool_call>{...}</tool_call> <think> ```"}'}, []),
        ({"name": "read_file", "arguments": {"path": "<tool_call>{...}</tool_call> <think> ```"}}, []),
    ):
        data["messages"][2] = {"role": "assistant", "content": "Wait.", "tool_calls": [{"function": function}]}
        assert codes(data) == expected


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ({"content": "", "tool_calls": [{"function": {"name": "read_file", "arguments": "{"}}]}, '"arguments": {'),
        ({"content": "", "tool_calls": [{"type": "function"}]}, '"arguments": {'),
        ({"content": '<tool_call>{"tool": "read_file"}</tool_call>'}, '"arguments": {'),
        ({"content": "<tool_call>{}{</tool_call>"}, '"arguments": {'),
        ({"content": '<tool_call>{"name": '}, "close every tag"),
    ],
)
def test_the_hint_fits_what_is_broken(message: dict[str, object], hint: str) -> None:
    data = dialogue("q", "")
    data["messages"][2] = {"role": "assistant", **message}
    found = check_calls([located(data, 1)], Agent(CATALOG))
    assert found
    assert all(hint in f.hint for f in found)


def test_a_variable_of_one_block_is_not_seen_in_the_next() -> None:
    assert codes(dialogue("q", call("x = read_file('a')") + call("print(x.nothing)"))) == []


LAMP = {
    "type": "function",
    "function": {
        "name": "set lamp/1",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string"},
                "level": {"type": "integer"},
                "mood": {"enum": ["calm", "bright"]},
                "at": {"type": "string", "default": None},
                "steps": {"type": "array", "items": {"type": "object", "properties": {"s": {"type": "number"}}}},
            },
            "required": ["room"],
        },
    },
}
NATIVE = Agent(CATALOG, calls="native")
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"room": "den", "level": 5, "mood": "calm", "at": None}, []),
    ({"room": "5"}, []),
    ({"level": 5}, ["set lamp/1 is called without room"]),
    ({"room": "den", "colour": "red"}, ["set lamp/1 has no parameter colour"]),
    ({"room": "den", "level": "high"}, ["set lamp/1 is given 'high' for level, which must be integer"]),
    ({"room": "den", "level": 2.5}, ["set lamp/1 is given 2.5 for level, which must be integer"]),
    ({"room": "den", "mood": "dim"}, ['set lamp/1 is given \'dim\' for mood, which must be one of "calm", "bright"']),
    ({"room": "den", "steps": [{}, {"s": "x"}]}, ["set lamp/1 is given 'x' for steps[1].s, which must be number"]),
    (
        {"colour": "red", "level": True},
        [
            "set lamp/1 has no parameter colour",
            "set lamp/1 is called without room",
            "set lamp/1 is given True for level, which must be integer",
        ],
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG)
def test_native_arguments_fit_the_schema_of_the_examples_own_tool(
    arguments: dict[str, Any], expected: list[str]
) -> None:
    call = {"name": "set lamp/1", "arguments": arguments}
    written = {"content": f"<tool_call>{json.dumps(call)}</tool_call>"}
    structured = {"content": "", "tool_calls": [{"type": "function", "function": call}]}
    as_text = {"content": "", "tool_calls": [{"function": {**call, "arguments": json.dumps(arguments)}}]}
    for turn in (written, structured, as_text):
        data = {**dialogue("q", ""), "tools": [LAMP]}
        data["messages"][2] = {"role": "assistant", **turn}
        found = check_calls([located(data, 7)], NATIVE)
        assert sorted(one.message for one in found) == sorted(expected)
        assert all(one.code == "wrong-arguments" and one.where.endswith(":7") for one in found)
        assert all(one.hint.startswith("set lamp/1(room: str") for one in found)


def test_a_value_without_quotes_is_checked_as_its_schema_reads_it() -> None:
    values = "<parameter=room>\n5\n</parameter><parameter=level>\n{}\n</parameter>"
    text = f"<tool_call><function=set lamp/1>{values}</function></tool_call>"
    for level, codes_found in (("5", []), ("high", ["wrong-arguments"])):
        data = {**dialogue("q", text.format(level)), "tools": [LAMP]}
        assert [one.code for one in check_calls([located(data, 1)], NATIVE)] == codes_found


def test_execute_code_is_a_tool_like_any_other_in_a_native_project() -> None:
    data = dialogue("q", call("print(read_file('a'))"))
    (found,) = check_calls([located(data, 1)], NATIVE)
    assert (found.code, found.message) == ("unknown-tool", 'calls "execute_code", which is no tool')
    (found,) = check_calls([located({**data, "tools": [LAMP]}, 1)], NATIVE)
    assert found.hint == "the dialogue brings set lamp/1"


def test_the_documentation_lists_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)` \| (?:error|warning) \|", page, re.MULTILINE)) == CODES.keys()
