"""Lines of public data sets become dialogues with structured calls and tools."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from tests.support.data_sets import converted, example
from tests.support.growth import MOST_TIMES, Shape, times
from tests.support.real_data import REPORTS
from topcoat.examples.formats.json_texts import Untranslatable

LAMP = {"name": "set_lamp", "arguments": {"room": "den", "on": True}}
XLAM = {
    "id": 1,
    "query": "Lamp on in the den",
    "tools": json.dumps(
        [{"name": "set_lamp", "description": "d", "parameters": {
            "room": {"type": "str", "description": "r"}, "on": {"type": "bool, optional", "default": True},
            "hours": {"type": "List[int]"}}}]
    ),
    "answers": json.dumps([LAMP, LAMP]),
}  # fmt: skip
GLAIVE = {
    "system": 'SYSTEM: You help. Use them if required -\n{"name": "set_lamp", "parameters": {"type": "object", '
    '"properties": {"room": {"type": "string"}}}}\n{"name": "now", "parameters": {"type": "object", "properties": {}}}',
    "chat": 'USER: Lamp on\n\n\nASSISTANT: I do it. <functioncall> {"name": "set_lamp", "arguments": '
    + """'{"room": "den"}'} <|endoftext|>\n\n\n"""
    + 'FUNCTION RESPONSE: {"ok": true}\n\n\nASSISTANT: On: it is done. <|endoftext|>',
}  # fmt: skip


def test_xlam() -> None:
    made = example(XLAM)
    assert [m.role for m in made.messages] == ["user", "assistant"]
    assert [call["function"] for call in made.messages[1].tool_calls or []] == [LAMP, LAMP]
    (tool,) = made.tools or []
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "room": {"type": "string", "description": "r"},
            "on": {"type": "boolean", "default": True},
            "hours": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["room", "hours"],
    }
    assert "answers" not in made.model_dump()


def test_glaive() -> None:
    made = example(GLAIVE)
    assert [m.role for m in made.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert made.messages[0].content == "You help. Use them if required -"
    assert made.messages[2].content == "I do it."
    assert [call["function"] for call in made.messages[2].tool_calls or []] == [
        {"name": "set_lamp", "arguments": {"room": "den"}}
    ]
    assert (made.messages[3].content, made.messages[4].content) == ('{"ok": true}', "On: it is done.")
    assert [tool["function"]["name"] for tool in made.tools or []] == ["set_lamp", "now"]


def test_words_around_glaives_functions_are_kept() -> None:
    system = 'SYSTEM: Before.\n{"name": "now", "parameters": {}}\nBetween.\n{}\nAfter.'
    made = example({**GLAIVE, "system": system})
    assert made.messages[0].content == "Before.\n\nBetween.\n\nAfter."
    assert [tool["function"]["name"] for tool in made.tools or []] == ["now"]


def test_a_key_that_another_format_has_is_kept() -> None:
    assert example({"prompt": "a", "completion": "b", "input": "c"}).model_dump()["input"] == "c"


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": "a\n\nb", "completion": "c"},
        {"prompt": [{"role": "user", "content": "a\n\nb"}], "completion": [{"role": "assistant", "content": "c"}]},
        {"instruction": "a", "input": "b", "output": "c"},
        {"query": "a\n\nb", "response": "c"},
        {"conversation": [{"human": "a\n\nb", "assistant": "c"}]},
        {"messages": json.dumps([{"role": "user", "content": "a\n\nb"}, {"role": "assistant", "content": "c"}])},
    ],
)
def test_a_question_and_an_answer(line: dict[str, Any]) -> None:
    assert [(m.role, m.content) for m in example(line).messages] == [("user", "a\n\nb"), ("assistant", "c")]


@pytest.mark.parametrize("keys", [("instruction", "output"), ("query", "response")])
def test_a_system_prompt_and_earlier_turns_beside_a_question_are_part_of_the_dialogue(keys: tuple[str, str]) -> None:
    line = {
        keys[0]: "c",
        keys[1]: "d",
        "system": "s",
        "history": [["a", "b"]],
        "tools": '[{"name": "now"}]',
        "lang": "en",
    }
    made = example(line)
    assert [(m.role, m.content) for m in made.messages] == [
        ("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")
    ]  # fmt: skip
    assert [tool["function"]["name"] for tool in made.tools or []] == ["now"]
    assert made.model_extra == {"lang": "en"}


@pytest.mark.parametrize(
    ("line", "form", "reason"),
    [
        ({**XLAM, "answers": "[]"}, "xlam", "answers: no call"),
        ({**XLAM, "answers": "{"}, "xlam", "answers: not JSON"),
        ({**XLAM, "tools": '[{"parameters": {}}]'}, "xlam", "tools: a function without a name"),
        ({**XLAM, "answers": '[{"name": "f", "arguments": [1]}]'}, "xlam", "the arguments of f are not an object"),
        ({"query": "a", "tools": "[]"}, "xlam", "answers: is missing"),
        ({**GLAIVE, "chat": "USER: a\nASSISTANT: <functioncall> set_lamp(den)"}, "glaive", "<functioncall> that can't"),
        ({**GLAIVE, "system": "SYSTEM: {set_lamp"}, "glaive", "system: a function that is not JSON"),
        ({**GLAIVE, "chat": "Hello. \nUSER: a"}, "glaive", "words before the first speaker"),
        ({"prompt": 1, "completion": "b"}, "completions", "prompt: must be text"),
        ({"query": "a", "response": "b", "history": ["c"]}, "swift", "history: must be a list of questions"),
        ({"query": "a", "response": "b", "system": 3}, "swift", "system: must be text"),
        ({"messages": "no json"}, "openai", "messages: must be a list of turns"),
    ],
)
def test_what_can_t_be_read_is_named(line: dict[str, Any], form: Any, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        converted(line, form)


PIECES = ["\n", "USER: ", "\nASSISTANT: ", " ", "{", '{"a": 1}', "<functioncall>", '{"name": "f", "arguments": \'']


@pytest.mark.parametrize("piece", PIECES)
def test_reading_a_chat_takes_linear_time(piece: str) -> None:
    def read(text: str) -> None:
        for line in ({"system": text, "chat": "USER: a"}, {"system": "", "chat": "ASSISTANT: <functioncall> " + text}):
            with contextlib.suppress(Untranslatable):
                converted(line, "glaive")

    assert times(read, Shape(piece)) <= MOST_TIMES


@pytest.mark.skipif(not (REPORTS / "data-sets").is_dir(), reason="the shared reports are missing")
@pytest.mark.parametrize("name", ["01-xlam", "03-glaive2", "13-completions"])
def test_reported_data_sets_are_read(name: str) -> None:
    for line in (REPORTS / "data-sets" / f"{name}.jsonl").read_text().splitlines():
        assert example(json.loads(line)).trained_turns
