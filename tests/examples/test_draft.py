from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.errors import InvalidInput
from topcoat.examples.draft import draft_of, read_draft
from topcoat.spec.example import Example
from topcoat.spec.message import Message

PATH = Path("new.jsonl.draft")


def called(name: str, arguments: object, **more: Any) -> dict[str, Any]:
    return {"type": "function", **more, "function": {"name": name, "arguments": arguments}}


def read(text: str) -> list[dict[str, Any]]:
    return dumped(read_draft(text, PATH, "files").messages)


def dumped(messages: list[Message]) -> list[dict[str, Any]]:
    return [message.model_dump(mode="json", exclude_unset=True) for message in messages]


NATIVE = """\
# Remarks.
=== user
Is page.py valid?
=== assistant
I look.
=== call check-types
{
  "path": "page.py",
  "code": "if x:
    go()"
}
=== call "run all" {"id": "c2"}
{}
=== result check-types {"tool_call_id": "c1"}
valid
=== tool
done
=== call stop
{"now": true}
=== result stop {"content": ""}
=== assistant
It is.
"""


def test_calls_and_results_have_headings_of_their_own() -> None:
    assert read(NATIVE) == [
        {"role": "user", "content": "Is page.py valid?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                called("check-types", {"path": "page.py", "code": "if x:\n    go()"}),
                called("run all", {}, id="c2"),
            ],
        },
        {"role": "tool", "name": "check-types", "tool_call_id": "c1", "content": "valid"},
        {"role": "tool", "content": "done"},
        {"role": "assistant", "tool_calls": [called("stop", {"now": True})]},
        {"role": "tool", "name": "stop", "content": ""},
        {"role": "assistant", "content": "It is."},
    ]


def test_a_call_is_written_for_people() -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [called("write", '{"text": "one\\n\\\\n \\"two\\"", "n": 5.0}')]},
    ]
    assert draft_of(Example.model_validate({"messages": turns}).messages) == (
        '=== user\na\n=== call write\n{\n  "text": "one\n\\\\n \\"two\\"",\n  "n": 5.0\n}\n'
    )


def test_a_call_without_its_function_around_it_becomes_one_with_it() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {}}]}]
    example = Example.model_validate({"messages": turns})
    assert read(draft_of(example.messages))[1]["tool_calls"] == [called("f", {})]


WORDS: st.SearchStrategy[str] = st.text(
    st.sampled_from("ab \n\r\t=\\\"'{}é\u2028\x0c#") | st.characters(codec="utf-8"), max_size=30
)
HEADINGS = st.sampled_from(
    ["=== user", "\\=== call a", "x\n=== call f {}\ny", "=====", "===a", "\\\\=== user\n=== x y"]
)
TEXTS = WORDS | HEADINGS | st.builds("\n".join, st.lists(HEADINGS | WORDS, max_size=3))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
NAMES = st.sampled_from(["read", "set-thermostat", "home.set_light", "with space", '"', "{", "é", "a{b}", "===", "#"])
CALLS = st.builds(
    lambda name, arguments, more: {"type": "function", **more, "function": {"name": name, "arguments": arguments}},
    NAMES | WORDS.filter(bool),
    OBJECTS,
    st.sampled_from([{}, {"id": "call00001"}, {"id": "é \n", "type": "other", "extra": [1]}]),
)
EXTRAS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"reasoning_content": "Hm.\n=== user"}, {"weight": 0}, {"name": "é"}]
)


SAID: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}), st.just({"content": None}), st.fixed_dictionaries({"content": TEXTS})
)


@st.composite
def dialogues(draw: st.DrawFn) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "system", "content": draw(TEXTS)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 2))):
        turns.append({"role": "user", "content": draw(TEXTS)})
        for _ in range(draw(st.integers(0, 2))):
            calls = draw(st.lists(CALLS, min_size=1, max_size=3))
            said = draw(SAID)
            turns.append({"role": "assistant", **said, "tool_calls": calls, **draw(EXTRAS)})
            results = st.sampled_from([{}, {"name": "read"}, {"name": "a b"}, {"tool_call_id": "call00001"}])
            turns += [{"role": "tool", "content": draw(TEXTS), **draw(results)} for _ in range(draw(st.integers(1, 2)))]
        turns.append({"role": "assistant", "content": "end" + draw(TEXTS)})
    return turns


@given(dialogues())
def test_a_dialogue_survives_its_draft(turns: list[dict[str, Any]]) -> None:
    example = Example.model_validate({"messages": turns, "category": "files"})
    assert json.dumps(read(draft_of(example.messages)), sort_keys=True) == json.dumps(turns, sort_keys=True)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("=== user\n\n=== assistant\na\n", 1, "the user turn is empty"),
        ("nothing here", None, "holds no turn"),
        ("=== user\na\n=== user\nb\n=== assistant\nc\n", 3, "can't stand after a user turn"),
        ("=== robot\na\n", 1, "role: must be"),
        ("=== user\na\n", 1, "the last turn must be assistant"),
        ("=== user\na\n=== assistant\n", 3, "the assistant turn is empty"),
        ('=== user\na\n=== call f\n\n{\n  "a": \n}\n', 6, "not JSON: Expecting value"),
        ('=== user\na\n=== call f\n{"a": 1,\n "a": 2}\n', 4, 'not JSON: "a" stands twice'),
        ('=== user\na\n=== call f\n{"a": NaN}\n', 4, "NaN is no JSON"),
        ("=== user\na\n=== call f\n[1]\n", 4, "not a JSON object"),
        ("=== user\na\n=== call f\n", 3, "the call has no arguments"),
        ("=== user\na\n=== call\n{}\n", 3, "a call without the name of its tool"),
        ("=== user\na\n=== call set thermostat\n{}\n", 3, "a name with spaces stands in quotes"),
        ('=== user\na\n=== call "set\n{}\n', 3, "the name can't be read"),
        ('=== user\na\n=== call f {"id": }\n{}\n', 3, "not JSON"),
        ('=== user {"content": "a"}\nb\n=== assistant\nc\n', 1, "the content stands in the heading and below it"),
        ('=== user\na\n=== assistant {"weight": 3}\nb\n', 3, "weight"),
        ("=== call f\n{}\n", 1, "can't stand at the start"),
        ("=== user\na\n=== call f\n{}\n=== user\nb\n=== assistant\nc\n=== result f\nd\n", 9, "must be assistant"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_draft(text, PATH, "files")
    first = caught.value.mistakes[0]
    assert message in first.message
    assert first.where is not None
    assert (first.where.path, first.where.line) == (PATH, line)


def test_every_mistake_is_found_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_draft("=== user\n\n=== call f\n{\n=== call\n[]\n=== assistant\n", PATH, "files")
    assert [mistake.where.line for mistake in caught.value.mistakes if mistake.where] == [1, 4, 5, 6, 7]
