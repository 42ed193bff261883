"""Calls that mlx-lm's server takes out of the text: what clients of each family get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.generate import TextStateMachine, make_text_state_machine
from mlx_lm.server import ToolCallFormatter

from tests.support.mlx.answers import right_answer
from tests.support.mlx.families import TEMPLATES, TOOLS, make_family
from topcoat.engine.mlx.model.served_calls import serve_calls

CALL = {"name": "set_lamp", "arguments": {"room": "the den; or hall", "on": True}}
TURN = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]}
AS_TEXT = {"deepseek", "gpt_oss", "gemma3", "llama3"}
"""Families whose calls stay in the served text. Llama 3 writes them without any mark."""


def served(wrapper: Any, text: str) -> list[tuple[str, Any]]:
    """The calls that mlx-lm's server makes of an answer's text, as its request handler collects them."""
    machine = make_text_state_machine(wrapper)
    state, segments = TextStateMachine.split(machine.make_state("normal"), text)
    state, rest, last = TextStateMachine.flush(state)
    texts, before = [""], "normal"
    for name, piece in [*segments, (last, rest)]:
        if name == "tool":
            texts[-1] += piece
        elif before == "tool":
            texts.append("")
        before = name
    made = ToolCallFormatter(wrapper.tool_parser, TOOLS)([text for text in texts if text.strip()])
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in made]


@pytest.mark.parametrize(
    "family",
    [
        "hermes",
        "qwen3",
        "qwen3_coder",
        "smollm3",
        "granite",
        "mistral",
        "glm4",
        "lfm2",
        "functiongemma",
        *sorted(AS_TEXT),
    ],
)
def test_a_family_s_call_is_served_as_structure(tmp_path: Path, family: str) -> None:
    tokenizer = make_family(tmp_path, family)
    assert tokenizer.serves_calls == (family not in AS_TEXT)
    if family in AS_TEXT:
        return
    serve_calls(tokenizer.wrapper)
    text = right_answer(family, TURN, 1)
    for stop in tokenizer.stops:
        text = text.removesuffix(tokenizer.decode([stop]))
    assert served(tokenizer.wrapper, text) == [(CALL["name"], CALL["arguments"])]


def test_a_llama_whose_template_marks_calls_is_served_as_structure(tmp_path: Path) -> None:
    bare = (TEMPLATES / "llama3.jinja").read_text()
    tokenizer = make_family(tmp_path, "llama3", bare.replace('{"name"', '<|python_tag|>{"name"', 1))
    assert tokenizer.serves_calls
    serve_calls(tokenizer.wrapper)
    one = '{"name": "set_lamp", "parameters": {"room": "a; {b}"}}'
    text = f'<|python_tag|>{one}; {{"name": "set_lamp", "parameters": {{}}}}'
    assert served(tokenizer.wrapper, text) == [("set_lamp", {"room": "a; {b}"}), ("set_lamp", {})]
    assert served(tokenizer.wrapper, f"<|python_tag|>{one[:-5]}") == []
