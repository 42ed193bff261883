"""Calls between marks become structured; words outside of the marks stay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.data_sets import DATA_SETS, LAMP, calls_of, example
from topcoat.examples.formats.foreign import REJECTED, convert
from topcoat.examples.formats.json_texts import Said, Untranslatable
from topcoat.examples.formats.marked_calls import BOTH_TOOLS, MARKS, PROMPT_SHORTENED, structured

TOOL = {"type": "function", "function": LAMP}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def hermes(answer: str, system: str = "You help.", **beside: Any) -> tuple[list[dict[str, Any]], dict[str, Any], Said]:
    """The turns, the whole data, and what was said."""
    said = Said()
    turns = [{"role": "system", "content": system}, {"role": "user", "content": "a"}]
    data = structured({"messages": [*turns, {"role": "assistant", "content": answer}], **beside}, MARKS["hermes"], said)
    return data["messages"], data, said


@pytest.mark.parametrize(
    ("answer", "content", "calls"),
    [
        ('<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>', None, 1),
        ("<tool_call>\n{'arguments': {'x': 1}, 'name': 'f'}\n</tool_call>", None, 1),
        ('<tool_call>{"name": "f", "parameters": {"x": 1}}</tool_call>', None, 1),
        ('<tool_call>[{"name": "f", "arguments": "{\\"x\\": 1}"}]</tool_call>', None, 1),
        ('b <tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call> c', "b\nc", 1),
        ('<think>a <tool_call> b</think>\n<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>',
         "<think>a <tool_call> b</think>", 1),
        ("  no call  ", "  no call  ", 0),
    ],
)  # fmt: skip
def test_an_answer(answer: str, content: str | None, calls: int) -> None:
    turn = hermes(answer)[0][-1]
    assert turn == {"role": "assistant", "content": content, **({"tool_calls": [CALL] * calls} if calls else {})}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('<tool_call>{"name": "f", "arguments": {}}', "turn 3: <tool_call> without </tool_call>"),
        ("<tool_call><function=f></function></tool_call>", "turn 3: can't be read as JSON near '<function=f>"),
        ('<tool_call>{"arguments": {}}</tool_call>', "turn 3: a call without a function's name"),
        ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', "the arguments of f are not an object"),
    ],
)
def test_a_call_that_can_t_be_read_is_refused(answer: str, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        hermes(answer)


def test_a_system_prompt_keeps_every_sentence_that_doesn_t_name_a_mark() -> None:
    prompt = "It is 10:00. Use <tools></tools> tags. Be kind: always.\n\n<tools>\n[{'name': 'f'}]\n</tools>\nSay less."
    turns, data, said = hermes("b", prompt)
    assert turns[0]["content"] == "It is 10:00. Be kind: always.\n\nSay less."
    assert [tool["function"]["name"] for tool in data["tools"]] == ["f"]
    assert said == {PROMPT_SHORTENED: 1}


@pytest.mark.parametrize("prompt", ["Call as <tool_call>{}</tool_call>. Use <tools> </tools>.", "You help."])
def test_a_system_prompt_without_tools_stays(prompt: str) -> None:
    assert hermes("b", prompt)[0][0]["content"] == prompt


def test_a_system_prompt_of_nothing_but_marks_is_left_out() -> None:
    assert [turn["role"] for turn in hermes("b", '<tools>[{"name": "f"}]</tools>')[0]] == ["user", "assistant"]


def test_tools_that_stand_in_one_place_only_are_all_kept_and_said() -> None:
    _, data, said = hermes("b", '<tools>[{"name": "f"}]</tools>', tools=[TOOL])
    assert [tool["function"]["name"] for tool in data["tools"]] == ["set_lamp", "f"]
    assert said[BOTH_TOOLS] == 1


@pytest.mark.parametrize("prompt", ["<tools>[{'name': 'f'}]", "<tools>[{'name': f}]</tools>"])
def test_tools_that_can_t_be_read_are_refused(prompt: str) -> None:
    with pytest.raises(Untranslatable, match="system: "):
        hermes("b", prompt)


def test_results_are_turns_of_their_own() -> None:
    turn = {"role": "tool", "content": "<tool_response>\n1\n</tool_response>\n<tool_response>2</tool_response>"}
    data = structured({"messages": [turn, {"role": "tool", "content": "plain"}]}, MARKS["hermes"], Said())
    assert [one["content"] for one in data["messages"]] == ["1", "2", "plain"]


def test_final_words_lose_their_marks_and_it_is_said() -> None:
    line = next(one.line for one in DATA_SETS if one.form == "button")
    said = Said()
    assert convert(line, "button", said)["messages"][-1]["content"] == "Done.\nIt is on. It is ten."
    assert sum(said.values()) == 2


def test_the_chosen_of_two_answers_is_trained_and_the_other_kept() -> None:
    line = next(one.line for one in DATA_SETS if one.form == "when2call")
    made = example(line)
    assert len(calls_of(made)) == 2
    said = Said()
    convert(line, "when2call", said)
    convert({key: value for key, value in line.items() if key != "rejected_response"}, "when2call", said)
    assert said[REJECTED] == 1
    assert (made.model_extra or {})["rejected_response"]["content"] == "I can't."
