"""Answers are read as topcoat reads those of a suite: in text or as structure, of the project's tools or of others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.usage.capture.candidate.answers import ReadAnswer, read_answer, same_calls
from topcoat.usage.capture.exchange import Exchange

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "line": {"type": "integer"}},
    "required": ["path"],
}
TOOLS = [{"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA}}]
AGENT = Agent(own_catalog(TOOLS, Path("tools.json")), calls="native")
CODE = Agent(own_catalog(TOOLS, Path("tools.json")), calls="code")


def read(message: dict[str, Any], agent: Agent = AGENT, *, finish: str = "stop", **asked: Any) -> ReadAnswer:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    request = {"messages": [{"role": "user", "content": "hello"}], **asked}
    whole = json.dumps({"choices": [choice]}).encode()
    return read_answer(Exchange(datetime.now(UTC), json.dumps(request).encode(), whole, streamed=False), agent)


def called(name: str, arguments: object) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"content": None, "tool_calls": [{"id": "1", "function": {"name": name, "arguments": text}}]}


def code(source: str) -> dict[str, Any]:
    return called("execute_code", {"code": source})


@pytest.mark.parametrize(
    ("message", "agent", "valid", "names"),
    [
        ({"content": "Hello!"}, AGENT, None, ()),
        ({"content": ""}, AGENT, None, ()),
        (called("read", {"path": "a.py"}), AGENT, True, ("read",)),
        (called("read", {"path": 3}), AGENT, False, ("read",)),
        (called("read", {}), AGENT, False, ("read",)),
        (called("read", '{"path": "a'), AGENT, False, ()),
        (called("my password is hunter2", {}), AGENT, False, ("(unknown)",)),
        ({"content": '<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>'}, AGENT, True, ("read",)),
        ({"content": '<tool_call>{"name": "read", "argum'}, AGENT, False, ()),
        (code('print(read(path="a.py"))'), CODE, True, ("read",)),
        (code('print(read("a.py", 1, 2, 3))'), CODE, False, ("read",)),
        (code("print(read("), CODE, False, ()),
    ],
)
def test_calls_are_read_and_checked(message: dict[str, Any], agent: Agent, valid: bool | None, names: object) -> None:
    found = read(message, agent)
    assert (found.valid, found.names) == (valid, names)


def test_a_call_that_the_server_dropped_is_no_valid_one() -> None:
    assert read({"content": ""}, finish="tool_calls").valid is False


def test_a_requests_own_tools_count() -> None:
    other = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    assert read(called("look", {})).valid is False
    assert read(called("look", {}), tools=other).valid is True
    assert read(called("look", {}), tools=[*other, {"type": "function"}, 5]).valid is False  # no list of tools at all
    assert read(called("look", {}), tools=[*other, {"type": "function"}]).valid is True


def test_the_same_calls_are_the_same_in_every_way_of_writing_them() -> None:
    one = read(called("read", {"path": "a", "line": 3}))
    assert same_calls(one, read(called("read", {"line": 3, "path": "a"})))
    assert same_calls(read(code('read("a")'), CODE), read(code('x = read(path="a")\nprint(x)'), CODE))
    assert same_calls(read({"content": "Yes."}), read({"content": "No."}))
    for other in ({"content": "a"}, called("read", {"path": "a"}), called("read", {"path": "a", "line": 4})):
        assert not same_calls(one, read(other))
    broken = read(called("read", "{"))
    assert not same_calls(broken, broken)
