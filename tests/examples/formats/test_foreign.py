from __future__ import annotations

import contextlib
import copy
import json
import random
import re
from typing import Any

import pytest

from tests.support.data_sets import DATA_SETS, DataSet, calls_of, converted, example, tools_of
from tests.support.growth import MOST_TIMES, Shape, times
from tests.support.real_data import ROOT
from topcoat.calls.block import Direct
from topcoat.calls.markup import blocks
from topcoat.examples.formats.foreign import FORMATS, Format, detect, refusal
from topcoat.examples.formats.json_texts import Untranslatable

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
    assert converted(CHAT, "chat") == CHAT


@pytest.mark.parametrize("data_set", DATA_SETS, ids=[f"{n}-{one.form}" for n, one in enumerate(DATA_SETS)])
def test_calls_and_functions_of_every_format_are_as_in_the_source(data_set: DataSet) -> None:
    assert detect([{}, data_set.line]) == data_set.form
    made = example(data_set.line)
    assert calls_of(made) == data_set.calls
    assert tools_of(made) == data_set.tools
    assert "".join(message.role[0] for message in made.messages) == data_set.roles


@pytest.mark.parametrize(("line", "form", "calls"), [(OPENAI, "openai", 2), (SHAREGPT, "sharegpt", 1)])
def test_a_project_that_calls_in_words_gets_calls_as_text(line: dict[str, Any], form: Any, calls: int) -> None:
    made = example(line, form, "code")
    assert [m.role for m in made.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert made.messages[0].content == "You call tools."
    assert blocks(made.messages[2].content or "") == [Direct("read_file", {"path": "a"})] * calls
    assert made.messages[2].tool_calls is None
    assert "call_1" not in made.model_dump_json()


@pytest.mark.parametrize("data_set", [one for one in DATA_SETS if one.form in ("hermes", "toolace", "button")])
def test_a_project_that_calls_in_words_keeps_the_words_of_a_data_set(data_set: DataSet) -> None:
    given = data_set.line.get("conversations") or data_set.line["messages"]
    made = example(data_set.line, calls="code")
    assert [m.content for m in made.messages][-len(given) :] == [t.get("value", t.get("content")) for t in given]
    assert calls_of(made) == []


def test_conversations_of_roles_and_contents_are_read_too() -> None:
    line = {"conversations": OPENAI["messages"], "source": "x"}
    assert detect([line]) == "sharegpt"
    assert converted(line, "sharegpt") == {"messages": converted(OPENAI, "openai")["messages"], "source": "x"}


def test_functions_beside_a_chat_become_tools() -> None:
    made = example({**CHAT, "tools": [{"name": "now", "parameters": {"type": "dict", "properties": {}}}]})
    assert made.tools == [
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
    ]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "a better and a worse answer", "jq -c .* a.jsonl > NEW"),
        ({**SHAREGPT, "chosen": {"from": "gpt"}, "rejected": {}}, "a better and", r"\.conversations \+= \[\.chosen\]"),
        ({"id": "simple_0", "question": [[]], "function": []}, "cases for a suite", "topcoat suite import bfcl"),
        ({"input": {}, "preferred_output": []}, "a better and a worse answer", r"\.input\.messages \+ \.preferred"),
        ({"chosen": [CHAT["messages"][0]], "rejected": []}, "a better and a worse answer", "{messages: .chosen}"),
        ({"answers": {}, "correct_answer": "direct", "orig_tools": []}, "questions for a suite", "when2call_train_sft"),
        (
            {"conversations": [{"from": "assistant", "value": "Thought: x\nAction: f\nAction Input: {}"}]},
            "call in words",
            "--format sharegpt",
        ),
    ],
)
def test_known_data_sets_that_hold_no_examples_are_refused_by_name(
    line: dict[str, Any], message: str, hint: str
) -> None:
    refused = refusal([CHAT, line], "a.jsonl")
    assert refused is not None
    assert message in refused[0]
    assert re.search(hint, refused[1])
    assert refusal([CHAT, OPENAI, SHAREGPT], "a.jsonl") is None


@pytest.mark.parametrize(
    ("line", "form", "message"),
    [
        ({**CHAT, "images": ["a.png"]}, "chat", "images: only text"),
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
        ({"conversations": [{"from": "gpt", "value": 3}]}, "sharegpt", "only text"),
        ({"conversations": [{"from": "function_call", "value": "{"}]}, "sharegpt", "not JSON"),
    ],
)
def test_what_can_t_be_translated_says_why(line: dict[str, Any], form: Any, message: str) -> None:
    with pytest.raises(Untranslatable, match=message):
        converted(line, form)


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
                converted(line, form)


MARKED: tuple[Format, ...] = ("hermes", "toolace", "button")
STRANGE: list[Any] = [None, 3, "", "x", [], {}, [[]], [{}], "[1]", "{", True, 1e308, {"type": "dict"}, "x" * 100_000]


@pytest.mark.parametrize("data_set", DATA_SETS, ids=[f"{n}-{one.form}" for n, one in enumerate(DATA_SETS)])
@pytest.mark.parametrize("seed", range(3))
def test_spoiled_lines_are_read_or_refused_with_a_reason(data_set: DataSet, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        line = json.loads(json.dumps(data_set.line))
        key = rng.choice(list(line))
        line[key] = damaged(line[key], rng)
        with contextlib.suppress(Untranslatable):
            converted(line, data_set.form)
        detect([line])


def damaged(value: Any, rng: random.Random) -> Any:
    """`value` with one part replaced, left out or cut, at any depth, also within a JSON text."""
    if isinstance(value, str) and value[:1] in ("[", "{") and rng.random() < 0.5:
        with contextlib.suppress(ValueError):
            return json.dumps(damaged(json.loads(value), rng))
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return (
            value[: rng.randrange(len(value))]
            if isinstance(value, str) and value
            else copy.deepcopy(rng.choice(STRANGE))
        )
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    if rng.random() < 0.2:
        del value[key]
    else:
        value[key] = damaged(value[key], rng)
    return value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"name": "f", "description": "\\ud800"}]', "half of a character"),
        ('[{"name": "f", "default": NaN}]', "not finite"),
        ('[{"name": "f", "default": 1e999}]', "not finite"),
        (
            '[{"name": "f", "parameters": ' + '{"properties":{"a":' * 500 + "{}" + "}}" * 500 + "}]",
            "nested too deeply|not JSON",
        ),
    ],
)
def test_what_no_file_of_examples_can_hold_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        converted({**CHAT, "tools": text}, "chat")


PIECES = [
    "\n", "[", "{", '"', "'", "[{", '[{"name": "', "<tools>", "<tools>[", "</tools>", "<tool_call>", "<tool_call>{",
    "</tool_call>", "[f(", "[f(a=[", "[f(a='", "f(", ", ", "pydantic model json schema{", "a. ", "</think>", "<call>[",
    "pydantic model json schema{'a': '", "\\", "List[", "Union[int, ", "int|", "x, ",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_reading_a_hostile_text_takes_linear_time(piece: str) -> None:
    def read(text: str) -> None:
        turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "[f(a=" + text}]
        lines: list[dict[str, Any]] = [
            {"conversations": [{"from": "system", "value": "<tools>[]" + text}, *turns]},
            {"conversations": [{"from": "system", "value": "<tools>[]</tools>" + text}, *turns]},
            {"conversations": [turns[0], {"from": "gpt", "value": f"{text} <tool_call>{text}</tool_call>"}]},
            {"conversations": [turns[0], {"from": "gpt", "value": f"[{text})]"}], "system": text},
            {"conversations": turns, "tools": json.dumps([{"name": "f", "parameters": {"a": {"type": text}}}])},
        ]
        for line in lines:
            for form in MARKED:
                with contextlib.suppress(Untranslatable):
                    converted(line, form)
            detect([line])

    assert times(read, Shape(piece)) <= MOST_TIMES


ROWS = re.findall(r"^\| `(\w+)` \| [^|]* \| `(\{.*\})` \|$", (ROOT / "docs" / "data.md").read_text(), re.MULTILINE)


def test_the_documentation_has_a_line_of_every_format() -> None:
    assert [form for form, _ in ROWS] == list(FORMATS)


@pytest.mark.parametrize(("form", "line"), ROWS, ids=[form for form, _ in ROWS])
def test_a_documented_line_is_read_as_documented(form: str, line: str) -> None:
    given = json.loads(line)
    assert detect([given]) == form
    made = example(given)
    assert calls_of(made) == ([] if form in ("chat", "completions", "alpaca") else [(*tools_of(made), {"on": True})])
