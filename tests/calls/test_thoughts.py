from __future__ import annotations

import pytest

from tests.support.agents import agent_of
from topcoat.calls.parsing import parse
from topcoat.calls.thoughts import opened_thought

AGENT = agent_of(["f"], "native")
CALL = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
MARKS = [
    ("<think>", "</think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
]


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_thought_is_left_out_and_a_cut_one_is_unread(opening: str, closing: str) -> None:
    answer = parse(f"\n{opening}\nI could write {CALL}\n{closing}\nSunny. {CALL}", AGENT)
    assert (len(answer.calls), answer.text, answer.unread) == (1, f"Sunny. {CALL}", "")
    cut = parse(f"{opening}\nI could write {CALL}", AGENT)
    assert (cut.calls, cut.text, cut.unread) == ((), "", "the answer ends inside a thought")


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_prompt_that_opens_a_thought(opening: str, closing: str) -> None:
    assert opened_thought(f"assistant\n{opening}\n") == f"{opening}\n"
    assert opened_thought(f"assistant\n{opening}") == opening
    assert opened_thought(f"assistant\n{opening}\n\n{closing}\n\n") == ""
    assert opened_thought("assistant\n") == opened_thought("") == ""


def test_a_mark_within_an_argument_stays_as_it_is() -> None:
    (call,) = parse(CALL.replace("{}", '{"x": "[THINK] <seed:think>"}'), AGENT).calls
    assert call.kwargs == {"x": "[THINK] <seed:think>"}
