from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from tests.support.gguf_files import GgufModel, dequantized, stored
from topcoat.engine.mlx.gguf.convert import RECORD, convert
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.protocol import Converted
from topcoat.errors import InvalidInput, Refused
from topcoat.progress import Silent

FAMILIES = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3")
KINDS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0")


def made(model: GgufModel, path: Path) -> Converted:
    return convert(model.write(path / "tiny.gguf"), path / "tiny", Silent())


def numbers_of(folder: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The model that stock mlx-lm loads of the folder, and its numbers in float32, each as it is stored."""
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    numbers = dict(tree_flatten(model.parameters()))
    for name, module in model.named_modules():
        if hasattr(module, "bits"):
            weight, scales, biases = (numbers.pop(f"{name}.{part}") for part in ("weight", "scales", "biases"))
            numbers[f"{name}.weight"] = mx.dequantize(
                weight, scales, biases, group_size=module.group_size, bits=module.bits
            )
    return model, {name: np.array(value) for name, value in numbers.items()}


NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "blk.1.attn_v.weight": "model.layers.1.self_attn.v_proj.weight",
    "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
    "blk.1.ffn_gate.weight": "model.layers.1.mlp.gate_proj.weight",
    "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
    "blk.1.ffn_down.weight": "model.layers.1.mlp.down_proj.weight",
}


@pytest.mark.parametrize(
    ("family", "kind"), [("llama", kind) for kind in KINDS] + [(name, "Q4_0") for name in FAMILIES[1:]]
)
def test_mlx_lm_loads_every_number_of_every_family(tmp_path: Path, family: str, kind: str) -> None:
    model = GgufModel(family, kind, tied=kind != "Q4_1")
    done = made(model, tmp_path)
    assert done.made
    loaded, numbers = numbers_of(done.folder)
    names = dict(NAMES)
    if not model.tied:
        names["output.weight"] = "lm_head.weight"
    if family != "llama":
        names["blk.0.attn_q.weight"] = "model.layers.0.self_attn.q_proj.weight"
    if family == "qwen2":
        names["blk.1.attn_k.bias"] = "model.layers.1.self_attn.k_proj.bias"
    for name, own in names.items():
        np.testing.assert_array_equal(numbers[own], dequantized(model.tensors[name]), err_msg=name)
    more = 1.0 if family.startswith("gemma") else 0.0
    norm = "pre_feedforward_layernorm" if family in ("gemma2", "gemma3") else "post_attention_layernorm"
    for name, own in {"output_norm": "model.norm", "blk.1.ffn_norm": f"model.layers.1.{norm}"}.items():
        np.testing.assert_array_equal(numbers[f"{own}.weight"] + more, dequantized(model.tensors[f"{name}.weight"]))
    assert np.isfinite(np.array(loaded(mx.array([[1, 5, 9, 2]])))).all()


def test_llamas_rows_are_rotated_as_llama_cpp_rotates_them(tmp_path: Path) -> None:
    """llama.cpp rotates neighbours of the file's rows, mlx-lm halves of its own: what queries see of keys is equal."""
    model = GgufModel("llama", "Q4_0")
    _, numbers = numbers_of(made(model, tmp_path).folder)
    states = mx.random.normal((1, 1, 6, 64), key=mx.random.key(0))

    def seen(queries: np.ndarray, keys: np.ndarray, neighbours: bool) -> np.ndarray:
        rotated = [
            mx.fast.rope(
                (states @ mx.array(weight).T).reshape(6, -1, 32).transpose(1, 0, 2)[None], 32,
                traditional=neighbours, base=10000.0, scale=1.0, offset=0,
            )
            for weight in (queries, keys)
        ]  # fmt: skip
        return np.array(rotated[0] @ rotated[1].swapaxes(-1, -2))

    own = {part: numbers[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qk"}
    file = {part: dequantized(model.tensors[f"blk.1.attn_{part}.weight"]) for part in "qk"}
    np.testing.assert_allclose(seen(own["q"], own["k"], False), seen(file["q"], file["k"], True), atol=1e-5)
    assert not np.allclose(seen(file["q"], file["k"], False), seen(file["q"], file["k"], True), atol=1e-2)


def test_a_file_of_several_kinds_names_the_bits_of_each_module(tmp_path: Path) -> None:
    model = GgufModel("qwen3", "Q4_0")
    model.tensors["token_embd.weight"] = stored("Q8_0", model.tensors["token_embd.weight"][1])
    model.tensors["blk.1.ffn_down.weight"] = stored("F16", (64, 96))
    model.tensors["blk.0.ffn_down.weight"] = stored("Q4_1", (64, 96))
    done = made(model, tmp_path)
    quantization = json.loads((done.folder / "config.json").read_text())["quantization"]
    assert quantization == {
        "group_size": 32, "bits": 4, "mode": "affine", "model.embed_tokens": {"group_size": 32, "bits": 8}
    }  # fmt: skip
    _, numbers = numbers_of(done.folder)
    for name, own in {
        "token_embd": "embed_tokens",
        "blk.1.ffn_down": "layers.1.mlp.down_proj",
        "blk.0.ffn_down": "layers.0.mlp.down_proj",
        "blk.0.ffn_up": "layers.0.mlp.up_proj",
    }.items():
        np.testing.assert_array_equal(numbers[f"model.{own}.weight"], dequantized(model.tensors[f"{name}.weight"]))
    assert "12 of Q4_0 as 4 bits in groups of 32" in done.notes[0]
    assert "1 of F16" in done.notes[0]


def test_vectors_are_as_wide_as_their_numbers_need(tmp_path: Path) -> None:
    model = GgufModel("llama", "Q4_0")
    fine = np.full(64, 1 + 2.0**-20, "<f4")
    model.tensors["blk.0.attn_norm.weight"] = ("F32", (64,), fine.tobytes())
    weights = mx.load(str(made(model, tmp_path).folder / "model-00001.safetensors"))
    assert isinstance(weights, dict)
    assert weights["model.layers.0.input_layernorm.weight"].dtype == mx.float32
    assert weights["model.layers.1.input_layernorm.weight"].dtype == mx.float16
    np.testing.assert_array_equal(np.array(weights["model.layers.0.input_layernorm.weight"]), fine)


def test_weights_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.gguf.convert.PART", 20_000)
    model = GgufModel("llama", "F16")
    done = made(model, tmp_path)
    assert len(list(done.folder.glob("model-*.safetensors"))) > 2
    _, numbers = numbers_of(done.folder)
    np.testing.assert_array_equal(
        numbers["model.layers.1.mlp.down_proj.weight"], dequantized(model.tensors["blk.1.ffn_down.weight"])
    )


def test_the_tokenizer_renders_dialogues_and_knows_where_they_end(tmp_path: Path) -> None:
    model = GgufModel("llama")
    model.metadata["tokenizer.ggml.eos_token_id"] = 0
    done = made(model, tmp_path)
    config = json.loads((done.folder / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, [0, 2])
    tokenizer = MlxTokenizer(done.folder, config["eos_token_id"])
    asked = [{"role": "user", "content": "the thin inn"}]
    assert tokenizer.render(asked, add_generation_prompt=True) == (
        "<|im_start|>user\nthe thin inn<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(tokenizer.chat(asked)) == "<|im_start|>user\nthe thin inn<|im_end|>\n"
    assert tokenizer.stops == {0, 2}
    assert "answers also end at <|im_end|>" in done.notes[1]


def test_a_folder_that_was_made_of_the_file_is_kept(tmp_path: Path) -> None:
    model = GgufModel("qwen3")
    model.metadata["general.license"] = "apache-2.0"
    first = made(model, tmp_path)
    record = json.loads((first.folder / RECORD).read_text())
    assert (record["file"], record["name"], record["license"]) == ("tiny.gguf", "tiny", "apache-2.0")
    weights = first.folder / "model-00001.safetensors"
    before = weights.stat().st_mtime_ns
    second = made(model, tmp_path)
    assert (second.made, second.notes) == (False, first.notes)
    assert weights.stat().st_mtime_ns == before
    model.tensors["blk.0.ffn_up.weight"] = stored("Q8_0", (96, 64), seed=99)
    with pytest.raises(Refused, match="exists already"):
        made(model, tmp_path)


def test_kinds_that_have_no_exact_form_are_refused_by_name(tmp_path: Path) -> None:
    model = GgufModel("llama")
    model.tensors["blk.0.ffn_up.weight"] = stored("Q4_K", (96, 256))
    model.tensors["blk.1.ffn_up.weight"] = stored("Q6_K", (96, 256))
    model.tensors["blk.1.ffn_gate.weight"] = stored("Q6_K", (96, 256))
    with pytest.raises(InvalidInput, match="has 1 tensor of Q4_K, 2 tensors of Q6_K; F32, F16, BF16, Q4_0") as refused:
        made(model, tmp_path)
    assert "Q8_0" in str(refused.value.hint)
    assert not (tmp_path / "tiny").exists()


def test_a_quantized_vector_is_refused(tmp_path: Path) -> None:
    model = GgufModel("llama")
    model.tensors["output_norm.weight"] = stored("Q8_0", (64,))
    with pytest.raises(InvalidInput, match=r"output_norm\.weight of Q8_0 in the shape \(64,\)"):
        made(model, tmp_path)


def test_more_tokens_than_embeddings_are_refused(tmp_path: Path) -> None:
    model = GgufModel("llama")
    model.tensors["token_embd.weight"] = stored("Q8_0", (200, 64))
    with pytest.raises(InvalidInput, match="273 tokens and only 200 embeddings"):
        made(model, tmp_path)


def test_numbers_that_are_none_leave_nothing_behind(tmp_path: Path) -> None:
    model = GgufModel("llama")
    model.tensors["blk.1.attn_norm.weight"] = ("F32", (64,), np.full(64, np.nan, "<f4").tobytes())
    with pytest.raises(InvalidInput, match=r"blk\.1\.attn_norm\.weight that aren't finite"):
        made(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]
