from __future__ import annotations

from typing import Any

import pytest

from tests.support.examples import CATALOG, call, dialogue, located
from topcoat.examples.checks.calls import check_calls


def codes(data: dict[str, Any]) -> list[str]:
    return [finding.code for finding in check_calls([located(data, 1)], CATALOG)]


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
    found = check_calls([located(data, 1)], CATALOG)
    assert found
    assert all(hint in f.hint for f in found)


def test_a_variable_of_one_block_is_not_seen_in_the_next() -> None:
    assert codes(dialogue("q", call("x = read_file('a')") + call("print(x.nothing)"))) == []
