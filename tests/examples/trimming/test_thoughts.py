"""Thoughts are removed from assistant turns, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mlx.dialogues import dialogues, turn
from topcoat.examples.trimming.thoughts import stripped
from topcoat.spec.example import Example


def example(*turns: dict[str, Any]) -> Example:
    return Example.model_validate({"messages": list(turns)})


SPOKEN = {
    "It is on.": "It is on.",
    " It is on.\n": " It is on.\n",
    "<think>\nHm.\n</think>\n\nIt is on.": "It is on.",
    "<think></think>One <think>two</think>three": "One three",
    "Hm, the den.\n</think>\nIt is on.": "It is on.",
    "[THINK]Hm.[/THINK]It is on.": "It is on.",
    "Write `<think>` before it.": "Write `<think>` before it.",
    "<think>a</think>Write `<think>` before it.": "Write `<think>` before it.",
    "<think>Hm": "",
    "<think>Hm.</think>": "",
    "": "",
}


@pytest.mark.parametrize("content", SPOKEN)
def test_what_an_assistant_says_stays(content: str) -> None:
    found, _ = stripped(
        example(turn("user", content), turn("assistant", content), turn("user", "u"), turn("assistant", "a"))
    )
    assert [m.content for m in found.messages] == [content, SPOKEN[content], "u", "a"]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_in_a_key_of_their_own_go_and_calls_weights_and_other_keys_stay(key: str) -> None:
    call = {"name": "f", "arguments": {}}
    said = turn("assistant", None, call, weight=0, id="x")
    found, lost = stripped(example(turn("user", "u"), {**said, key: "Hm."}, turn("tool", "t"), turn("assistant", "a")))
    assert found == example(turn("user", "u"), said, turn("tool", "t"), turn("assistant", "a"))
    assert lost == 0


def test_turns_that_are_only_a_thought_are_counted_if_they_were_trained() -> None:
    thought = "<think>Hm.</think>"
    turns = [turn("user", "u"), turn("assistant", thought), turn("user", "v"), turn("assistant", thought, weight=0)]
    found, lost = stripped(example(*turns, turn("user", "w"), turn("assistant", "a")))
    assert (lost, found.trained_turns) == (1, [5])


@given(dialogues(thoughts=False, most_calls=2), st.text(st.characters(exclude_characters="<>[]|"), max_size=9))
def test_a_thought_leaves_no_trace(messages: list[dict[str, Any]], thought: str) -> None:
    """The law: put a thought before every answer, and take it out."""
    thinking = [
        {**m, "content": f"<think>\n{thought}\n</think>\n\n{m['content']}"} if m["role"] == "assistant" else m
        for m in messages
    ]
    bare = [{**m, "content": m["content"].lstrip()} if m["role"] == "assistant" else m for m in messages]
    assert stripped(example(*thinking))[0] == example(*bare)
    assert stripped(example(*messages))[0] == example(*messages)
