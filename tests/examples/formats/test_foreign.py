from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest

from topcoat.calls.block import Direct
from topcoat.calls.markup import blocks
from topcoat.examples.formats.foreign import FORMATS, Untranslatable, convert, detect
from topcoat.spec.example import Example

CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "source": "x"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
OPENAI = {
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "You call "}, {"type": "text", "text": "tools."}]},
        {"role": "user", "content": "Read a."},
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "text"},
        {"role": "assistant", "content": "It says text."},
    ],
    "tools": [{"type": "function", "function": {"name": "read_file"}}],
}
SHAREGPT = {
    "system": "You call tools.",
    "conversations": [
        {"from": "human", "value": "Read a."},
        {"from": "function_call", "value": '{"name": "read_file", "arguments": {"path": "a"}}'},
        {"from": "observation", "value": "text"},
        {"from": "gpt", "value": "It says text."},
    ],
}


@pytest.mark.parametrize(("line", "expected"), [(CHAT, "chat"), (OPENAI, "openai"), (SHAREGPT, "sharegpt")])
def test_formats_are_told_by_their_keys(line: dict[str, Any], expected: str) -> None:
    assert detect([{}, line]) == expected
    assert detect([{"question": "a", "answer": "b"}]) is None
    assert detect([]) is None


def test_chat_stays_as_it_is() -> None:
    assert convert(CHAT, "chat") == CHAT


@pytest.mark.parametrize(("line", "form", "calls"), [(OPENAI, "openai", 2), (SHAREGPT, "sharegpt", 1)])
def test_calls_become_text_that_the_scorer_reads(line: dict[str, Any], form: Any, calls: int) -> None:
    example = Example.model_validate(convert(line, form))
    assert [m.role for m in example.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert example.messages[0].content == "You call tools."
    assert blocks(example.messages[2].content or "") == [Direct("read_file", {"path": "a"})] * calls
    assert "call_1" not in example.model_dump_json()


def test_conversations_of_roles_and_contents_are_read_too() -> None:
    line = {"conversations": OPENAI["messages"], "source": "x"}
    assert detect([line]) == "sharegpt"
    assert convert(line, "sharegpt") == {"messages": convert(OPENAI, "openai")["messages"], "source": "x"}


@pytest.mark.parametrize(
    ("line", "form", "message"),
    [
        ({"messages": "x"}, "openai", "messages: must be a list of turns"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "openai", "only text"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "openai", "without a function's name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
            "openai",
            "are not JSON",
        ),
        ({"conversations": [{"from": "alien", "value": "x"}]}, "sharegpt", "must be one of human"),
        ({"conversations": [{"role": "user", "content": 3}]}, "sharegpt", r"conversations\[0\]\.content: only text"),
        ({"conversations": [{"from": "gpt", "value": 3}]}, "sharegpt", "must be text"),
        ({"conversations": [{"from": "function_call", "value": "{"}]}, "sharegpt", "not JSON"),
    ],
)
def test_what_can_t_be_translated_says_why(line: dict[str, Any], form: Any, message: str) -> None:
    with pytest.raises(Untranslatable, match=message):
        convert(line, form)


def test_strange_lines_are_translated_or_refused() -> None:
    rng = random.Random(0)
    strange: list[Any] = [None, 3, "x", [], {}, [[]], [{}], "{", {"function": 3}, [{"function": {"name": "f"}}]]
    for _ in range(3_000):
        turns = [
            {rng.choice(["role", "from", "content", "value", "tool_calls", "function_call"]): rng.choice(
                [*strange, "user", "assistant", "human", "function_call"]
            ) for _ in range(3)}
            for _ in range(rng.randint(0, 3))
        ]  # fmt: skip
        line = {"messages": turns, "conversations": turns, "system": rng.choice(strange)}
        for form in FORMATS:
            with contextlib.suppress(Untranslatable):
                convert(line, form)
