from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_files import GgufModel, stored
from topcoat.engine.mlx.gguf.family import config_of, family_of, sizes_of, targets
from topcoat.engine.mlx.gguf.file import read_gguf
from topcoat.engine.mlx.gguf.metadata import Metadata
from topcoat.errors import InvalidInput

FAMILIES = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3")


def read(model: GgufModel, path: Path) -> dict[str, Any]:
    """The configuration of a written model, once its tensors are known to fit."""
    metadata = Metadata(read_gguf(model.write(path / "a.gguf")), model.family)
    family = family_of(metadata)
    sizes = sizes_of(metadata)
    targets(metadata, family, sizes)
    return config_of(metadata, family, sizes)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_configuration_is_the_metadatas(tmp_path: Path, name: str) -> None:
    config = read(GgufModel(name), tmp_path)
    assert config["model_type"] == {"gemma3": "gemma3_text"}.get(name, name)
    assert [config[key] for key in ("hidden_size", "intermediate_size", "head_dim")] == [64, 96, 32]
    assert config["num_hidden_layers"] == (6 if name == "gemma3" else 2)
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (2, 1)
    assert (config["rope_theta"], config["rms_norm_eps"], config["max_position_embeddings"]) == (10000.0, 1e-6, 512)
    assert config["tie_word_embeddings"] is True
    assert config["vocab_size"] == 3 + 256 + 14


def test_a_head_of_its_own_is_not_tied(tmp_path: Path) -> None:
    assert read(GgufModel("llama", tied=False), tmp_path)["tie_word_embeddings"] is False


def test_biases_are_found_by_the_tensors(tmp_path: Path) -> None:
    model = GgufModel("llama")
    assert "attention_bias" not in read(model, tmp_path)
    for layer in range(2):
        for part, size in {"attn_q": 64, "attn_k": 32, "attn_v": 32, "attn_output": 64}.items():
            model.tensors[f"blk.{layer}.{part}.bias"] = stored("F32", (size,))
    config = read(model, tmp_path)
    assert config["attention_bias"] is True
    assert "mlp_bias" not in config
    del model.tensors["blk.1.attn_v.bias"]
    with pytest.raises(InvalidInput, match=r"has no tensor blk\.1\.attn_v\.bias"):
        read(model, tmp_path)


def test_gemma_scales_queries_by_its_heads(tmp_path: Path) -> None:
    config = read(GgufModel("gemma3"), tmp_path)
    assert (config["query_pre_attn_scalar"], config["sliding_window"], config["sliding_window_pattern"]) == (32, 16, 6)
    config = read(GgufModel("gemma2"), tmp_path)
    assert (config["attn_logit_softcapping"], config["final_logit_softcapping"]) == (50.0, 30.0)


def test_a_list_of_equal_numbers_a_layer_is_one_number(tmp_path: Path) -> None:
    model = GgufModel("qwen3")
    model.metadata["qwen3.attention.head_count_kv"] = [1, 1]
    assert read(model, tmp_path)["num_key_value_heads"] == 1
    model.metadata["qwen3.attention.head_count_kv"] = [1, 2]
    with pytest.raises(InvalidInput, match="head_count_kv"):
        read(model, tmp_path)


def said(key: str, value: object) -> Callable[[GgufModel], None]:
    def change(model: GgufModel) -> None:
        model.metadata[key] = value
        if value is None:
            del model.metadata[key]

    return change


def without(name: str) -> Callable[[GgufModel], None]:
    def change(model: GgufModel) -> None:
        del model.tensors[name]

    return change


def having(name: str, *shape: int) -> Callable[[GgufModel], None]:
    def change(model: GgufModel) -> None:
        model.tensors[name] = stored("F32", shape)

    return change


def narrow(model: GgufModel) -> None:
    """Heads of 16 dimensions in a model whose width is two of 32."""
    model.metadata["qwen2.attention.key_length"] = 16
    for layer in range(2):
        for part, rows in {"attn_q": 32, "attn_k": 16, "attn_v": 16}.items():
            model.tensors[f"blk.{layer}.{part}.weight"] = stored("F32", (rows, 64))
            model.tensors[f"blk.{layer}.{part}.bias"] = stored("F32", (rows,))
        model.tensors[f"blk.{layer}.attn_output.weight"] = stored("F32", (64, 32))


REFUSED: dict[str, tuple[str, Callable[[GgufModel], None], str]] = {
    "another family": ("mamba", said("x", 1), "of the family mamba; llama, qwen2, qwen3, gemma, gemma2, gemma3 are"),
    "a mixture": ("llama", said("llama.expert_count", 8), "mixture of experts"),
    "a part": ("llama", said("split.count", 3), "one part of a model"),
    "a window": ("qwen2", said("qwen2.attention.sliding_window", 4096), "sliding window"),
    "half a rotation": ("llama", said("llama.rope.dimension_count", 16), "32 dimensions \\(16 rotated"),
    "other values": ("qwen3", said("qwen3.attention.value_length", 64), "64 in values"),
    "no layers": ("llama", said("llama.block_count", None), "doesn't say llama.block_count"),
    "countless layers": ("llama", said("llama.block_count", 2**31), "llama.block_count = 2147483648"),
    "fewer layers": ("llama", said("llama.block_count", 1), "9 tensors that llama models don't have"),
    "more layers": ("llama", said("llama.block_count", 3), r"has no tensor blk\.2\.attn_norm\.weight"),
    "a text for a number": ("llama", said("llama.embedding_length", "64"), "must be a whole number from 1"),
    "another width": ("llama", said("llama.feed_forward_length", 128), r"\(96, 64\) instead of \(128, 64\)"),
    "a norm of nothing": ("llama", said("llama.attention.layer_norm_rms_epsilon", 0.0), "must be a number from"),
    "no embedding": ("llama", without("token_embd.weight"), r"no tensor token_embd\.weight"),
    "no norm": ("qwen3", without("blk.1.attn_k_norm.weight"), r"no tensor blk\.1\.attn_k_norm\.weight"),
    "no bias": ("qwen2", without("blk.0.attn_q.bias"), r"no tensor blk\.0\.attn_q\.bias"),
    "a stranger": ("qwen3", having("blk.0.ssm_a", 4), r"1 tensors that qwen3 models don't have: blk\.0\.ssm_a"),
    "a head beside gemma's": ("gemma", having("output.weight", 273, 64), r"don't have: output\.weight"),
    "scaled gemma": ("gemma2", said("gemma2.rope.scaling.type", "yarn"), "yarn"),
    "capped gemma3": ("gemma3", said("gemma3.final_logit_softcapping", 30.0), "caps its logits"),
    "narrow qwen2": ("qwen2", narrow, "heads of 16 dimensions, which qwen2 models"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, case: str) -> None:
    name, change, message = REFUSED[case]
    model = GgufModel(name)
    change(model)
    with pytest.raises(InvalidInput, match=message) as refused:
        read(model, tmp_path)
    assert refused.value.hint
    assert "a.gguf" in refused.value.message


def test_linear_scaling_is_kept_or_refused(tmp_path: Path) -> None:
    for name in FAMILIES:
        model = GgufModel(name)
        model.metadata |= {f"{name}.rope.scaling.type": "linear", f"{name}.rope.scaling.factor": 8.0}
        if name in ("gemma", "gemma2"):
            with pytest.raises(InvalidInput, match="scales its rotations"):
                read(model, tmp_path)
        else:
            assert read(model, tmp_path)["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}
