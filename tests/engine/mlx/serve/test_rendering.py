from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.server import process_message_content

from tests.support.mlx.answers import ONE_CALL
from tests.support.mlx.dialogues import dialogues, turn
from tests.support.mlx.families import FAMILIES, TOOLS, make_family
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.mlx.serve.rendering import render_as_trained
from topcoat.suites.openai_messages import openai_messages

CALL = {"name": "set_lamp", "arguments": {"room": "den"}}


def served(tokenizer: MlxTokenizer) -> Any:
    """The tokenizer that mlx_lm.server gets, where topcoat prepared it."""
    server = SimpleNamespace(load=lambda: (None, copy.copy(tokenizer.wrapper), {}))
    render_as_trained(server)
    return server.load()[1]


def prompt(tokenizer: Any, messages: list[dict[str, Any]], tools: Any = None) -> list[int]:
    """The prompt of an evaluation over the server, as the server's `_tokenize` makes it."""
    asked = openai_messages(messages)
    process_message_content(asked)
    made = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tools=tools or None, tokenize=True)
    return [int(token) for token in made]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MlxTokenizer]:
    return {name: make_family(tmp_path_factory.mktemp(name), name) for name in FAMILIES}


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(sorted(FAMILIES)), st.sampled_from([None, [], TOOLS]))
def test_a_served_prompt_is_the_evaluated_one(
    families: dict[str, MlxTokenizer], data: st.DataObject, family: str, tools: Any
) -> None:
    tokenizer = families[family]
    messages = data.draw(dialogues(thoughts=True, most_calls=1 if family in ONE_CALL else 3))
    asked = messages[: data.draw(st.sampled_from([i for i, m in enumerate(messages) if m["role"] == "assistant"]))]
    evaluated = tokenizer.chat(asked, tools=tools, add_generation_prompt=True)
    assert prompt(served(tokenizer), asked, tools) == evaluated
    if family != "deepseek":  # whose template takes text, where the stock server has objects
        assert prompt(tokenizer.wrapper, asked, tools) == evaluated


def test_a_template_that_takes_text_is_served_where_the_stock_server_fails(families: dict[str, MlxTokenizer]) -> None:
    tokenizer = families["deepseek"]
    asked = [turn("user", "On"), turn("assistant", None, CALL), turn("tool", "ok")]
    with pytest.raises(TypeError, match="concatenate str"):
        prompt(tokenizer.wrapper, asked)
    assert prompt(served(tokenizer), asked) == tokenizer.chat(asked, add_generation_prompt=True)


@pytest.mark.parametrize("arguments", [{"room": "den"}, '"text"', 7])
def test_a_request_that_can_t_be_rendered_better_stays_as_the_stock_server_has_it(
    tmp_path: Path, arguments: object
) -> None:
    template = "{%- for m in messages -%}{{- m.role + ':' + m.content + ';' -}}{%- endfor -%}"
    tokenizer = make_family(tmp_path, "hermes", template)
    asked = [turn("user", "On"), turn("assistant", None, {**CALL, "arguments": arguments}), turn("tool", "ok")]
    assert prompt(served(tokenizer), asked) == prompt(tokenizer.wrapper, asked)
    assert tokenizer.decode(prompt(served(tokenizer), asked)) == "user:On;assistant:;tool:ok;"
