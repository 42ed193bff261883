"""The shipped base model's folder, as far as it can be judged without loading it."""

import json
import struct
from typing import Any

from jinja2 import Template

from topcoat.demo import TEMPLATE

MODEL = TEMPLATE / "models" / "phase33b"
CONFIG: dict[str, Any] = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
SIZE_LIMIT = 4_000_000
"""Bytes: the wheel carries the model."""


def _tensors() -> dict[str, Any]:
    """The header of the weights' safetensors file."""
    with (MODEL / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


def test_the_weights_are_small() -> None:
    assert (MODEL / "model.safetensors").stat().st_size < SIZE_LIMIT


def test_every_matrix_is_quantized_as_the_config_says() -> None:
    tensors = _tensors()
    group, bits = CONFIG["quantization"]["group_size"], CONFIG["quantization"]["bits"]
    matrices = [name.removesuffix(".weight") for name, tensor in tensors.items() if tensor["dtype"] == "U32"]
    assert len(matrices) == 7 * CONFIG["num_hidden_layers"] + 1
    for name in matrices:
        rows, words = tensors[f"{name}.weight"]["shape"]
        assert tensors[f"{name}.scales"]["shape"] == [rows, words * 32 // bits // group]


def test_quantized_sizes_are_multiples_of_the_group() -> None:
    attention = CONFIG["num_attention_heads"] * CONFIG["head_dim"]
    for size in (CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"], attention):
        assert size % 64 == 0


def test_the_first_messages_render_to_a_prefix() -> None:
    template = Template((MODEL / "chat_template.jinja").read_text(encoding="utf-8"))
    turns = [
        {"role": role, "content": f"{role}'s words"} for role in ("system", "user", "assistant", "user", "assistant")
    ]
    whole = template.render(messages=turns)
    for count in range(1, len(turns)):
        assert whole.startswith(template.render(messages=turns[:count]))
        if turns[count]["role"] == "assistant":
            assert whole.startswith(template.render(messages=turns[:count], add_generation_prompt=True))


def test_the_two_places_of_the_chat_template_agree() -> None:
    config = json.loads((MODEL / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == (MODEL / "chat_template.jinja").read_text(encoding="utf-8")
