"""The base model's tokenizer: marks are single tokens, texts survive, names are the same tokens everywhere."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from topcoat.demo import TEMPLATE

DATA = ("data/phase33b.jsonl", "data/phase34a.jsonl", "data/phase34a-valid.jsonl")
MODEL = TEMPLATE / "models" / "phase33b"
TOKENIZER = Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.mark.parametrize(
    "mark",
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<tool_call>",
        "</tool_call>",
        "<tool_response>",
        "</tool_response>",
    ],
)
def test_marks_are_single_tokens(mark: str) -> None:
    assert TOKENIZER.encode(mark).ids == [TOKENIZER.token_to_id(mark)]
    assert TOKENIZER.encode(f"a{mark}b").tokens[1] == mark


def test_the_vocabulary_fits_the_model() -> None:
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    assert TOKENIZER.get_vocab_size() == config["vocab_size"]
    assert TOKENIZER.token_to_id("<|im_end|>") == config["eos_token_id"]


@given(st.text())
def test_any_text_survives(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("name", DATA)
def test_the_data_survives(name: str, files: Any) -> None:
    for row in files.rows(name):
        for message in row["messages"]:
            ids = TOKENIZER.encode(message["content"]).ids
            assert TOKENIZER.decode(ids, skip_special_tokens=False) == message["content"]


@pytest.mark.parametrize(
    "name", ["hangar/fjord/otter_quill.py", "AmberKernelDragon", "evict_dusty_waffle", "docs/a.toml"]
)
def test_a_name_is_the_same_tokens_in_prompt_and_code(name: str) -> None:
    own = TOKENIZER.encode(name).tokens
    for text in (f"Open {name}.", f"Is {name} clean?", f'read_file("{name}")', f"{name} should go", f"`{name}`"):
        tokens = TOKENIZER.encode(text).tokens
        assert any(tokens[start : start + len(own)] == own for start in range(len(tokens))), text
