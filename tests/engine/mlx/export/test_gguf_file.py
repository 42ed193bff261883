from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support.gguf_files import GgufModel, dequantized
from tests.support.mlx.models import SHAPE, MakeModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.gguf.convert import convert
from topcoat.engine.mlx.gguf.file import GgufFile, read_gguf
from topcoat.engine.mlx.gguf.tokenizer import PIECES
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.protocol import ExportJob, Numbers
from topcoat.errors import EngineFault, InvalidInput, NumericalFault
from topcoat.progress import Silent
from topcoat.store.records import ExportReport

pytest.importorskip("gguf", reason="the extra gguf isn't installed")

FAMILIES = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3")
KINDS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


def export(engine: MlxEngine, model: Path, output: Path, numbers: Numbers = "as-stored") -> ExportReport:
    return engine.export(ExportJob(model, "gguf", output, "tiny", numbers), Silent())


def imported(folder: Path, name: str = "tiny") -> Path:
    """The model folder of the exported file."""
    return convert(folder / f"{name}.gguf", folder / "again", Silent()).folder


def numbers_of(file: GgufFile, name: str) -> np.ndarray:
    """A tensor's numbers, as the format defines them."""
    tensor = file.tensors[name]
    return dequantized((tensor.kind.name, tensor.shape, file.rows(tensor).tobytes()))


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: value for path in folder.glob("model*.safetensors") for name, value in load_file(path).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "kind"), [("llama", kind) for kind in KINDS] + [(name, "Q4_1") for name in FAMILIES[1:]]
)
def test_a_file_comes_back_as_it_was(engine: MlxEngine, tmp_path: Path, family: str, kind: str) -> None:
    """A file becomes a folder, and the folder a file: no number changes, and the model is described alike."""
    model = GgufModel(family, kind, tied=kind != "Q8_0")
    first = convert(model.write(tmp_path / "first.gguf"), tmp_path / "first", Silent()).folder
    report = export(engine, first, tmp_path / "out")
    assert report.rounding == 0.0
    before, after = read_gguf(tmp_path / "first.gguf"), read_gguf(tmp_path / "out" / "tiny.gguf")
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in before.tensors.items():
        assert after.tensors[name].shape == tensor.shape
        if family in ("gemma", "gemma2", "gemma3") and "norm" in name:
            # Norms lose the 1 and get it back, in float32: the reader keeps what is left of a number near 1.
            np.testing.assert_allclose(numbers_of(after, name), numbers_of(before, name), rtol=1e-6)
        else:
            np.testing.assert_array_equal(numbers_of(after, name), numbers_of(before, name), err_msg=name)
    own = {key: value for key, value in before.metadata.items() if key.startswith(f"{family}.")}
    for key, value in own.items():
        assert after.metadata[key] == pytest.approx(value), key
    for key in ("tokens", "token_type", "merges", "pre", "model", "eos_token_id", "bos_token_id"):
        np.testing.assert_array_equal(after.metadata[f"tokenizer.ggml.{key}"], before.metadata[f"tokenizer.ggml.{key}"])
    assert after.metadata["tokenizer.chat_template"] == before.metadata["tokenizer.chat_template"]


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "group_size"), [(2, 32), (3, 64), (4, 128), (5, 64)])
def test_a_folder_comes_back_with_the_same_numbers(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, bits: int, group_size: int
) -> None:
    model = with_known_pieces(make_model("llama", bits=bits, group_size=group_size, dtype="float16"), tmp_path / "m")
    report = export(engine, model, tmp_path / "out")
    assert report.rounding == 0.0
    # Modules of which a group is wider than a row aren't quantized in the folder either.
    stored = {"F16"} if group_size > SHAPE["hidden_size"] else set()
    assert set(report.kinds) <= {f"Q{max(4, bits)}_0", f"Q{max(4, bits)}_1", "F32"} | stored
    tokens = mx.array([list(range(5, 45))])
    own, other = (load(folder, Compute.DEQUANTIZED).model(tokens) for folder in (model, imported(tmp_path / "out")))
    np.testing.assert_array_equal(np.array(own), np.array(other))


def with_known_pieces(model: Path, folder: Path) -> Path:
    """The model with a tokenizer that cuts text as Qwen 2's does. llama.cpp has no name for the embedded one's way."""
    shutil.copytree(model, folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": PIECES["qwen2"].split}
    document["normalizer"] = {"type": "NFC"}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


def test_bits_without_blocks_are_written_as_the_model_computes_them(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = with_known_pieces(make_model("qwen3", bits=6, dtype="float16"), tmp_path / "m")
    report = export(engine, model, tmp_path / "out")
    assert (report.rounding, set(report.kinds)) == (0.0, {"F16", "F32"})


def test_scales_in_float32_are_rounded_and_that_is_measured(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = with_known_pieces(make_model("qwen3", bits=5), tmp_path / "m")
    report = export(engine, model, tmp_path / "out")
    assert "Q5_1" in report.kinds
    stored = mx.load(str(model / "model.safetensors"))
    assert isinstance(stored, dict)
    file = read_gguf(tmp_path / "out" / "tiny.gguf")
    apart = []
    for name, layer in (("token_embd", "embed_tokens"), ("blk.1.ffn_down", "layers.1.mlp.down_proj")):
        parts = [stored[f"model.{layer}.{part}"] for part in ("weight", "scales", "biases")]
        exact = np.array(mx.dequantize(parts[0], parts[1], parts[2], group_size=64, bits=5))
        written = numbers_of(file, f"{name}.weight")
        apart.append(np.linalg.norm(written - exact) / np.linalg.norm(exact))
    assert report.rounding is not None
    assert max(apart) <= report.rounding * 1.001
    assert 0 < report.rounding < 2.0**-10


@pytest.mark.parametrize("numbers", ["f16", "bf16", "f32"])
def test_matrices_are_plain_if_that_is_asked_for(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, numbers: Numbers
) -> None:
    model = with_known_pieces(make_model("qwen3", bits=4, dtype="float16"), tmp_path / "m")
    report = export(engine, model, tmp_path / "out", numbers)
    assert set(report.kinds) == {numbers.upper(), "F32"}
    assert (report.rounding == 0.0) == (numbers != "bf16")


def test_experts_are_three_dimensions_of_one_tensor(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = with_known_pieces(make_model("qwen3_moe", bits=4, dtype="float16"), tmp_path / "m")
    export(engine, model, tmp_path / "out")
    file = read_gguf(tmp_path / "out" / "tiny.gguf")
    assert (file.tensors["blk.2.ffn_down_exps.weight"].shape, file.tensors["blk.2.ffn_gate_inp.weight"].kind.name) == (
        (4, 64, 64),
        "F32",
    )
    assert (file.metadata["qwen3moe.expert_count"], file.metadata["qwen3moe.expert_used_count"]) == (4, 2)
    stored = load_file(model / "model.safetensors")
    module = "model.layers.2.mlp.switch_mlp.down_proj"
    scales, biases = (mx.array(stored[f"{module}.{part}"]).astype(mx.float32) for part in ("scales", "biases"))
    exact = mx.dequantize(mx.array(stored[f"{module}.weight"]), scales, biases, group_size=64, bits=4)
    np.testing.assert_array_equal(numbers_of(file, "blk.2.ffn_down_exps.weight"), np.array(exact))


def test_llama_3s_scaling_comes_back(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    model = make_model("llama", bits=4, dtype="float16", rope_scaling=scaling, rope_theta=500000.0)
    export(engine, with_known_pieces(model, tmp_path / "m"), tmp_path / "out")
    assert json.loads((imported(tmp_path / "out") / "config.json").read_text())["rope_scaling"] == scaling


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        ("olmo2", {}, "of the family olmo2; llama, mistral, qwen2, qwen3, qwen3_moe, gemma"),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "scales its rotations by dynamic"),
        ("qwen3_moe", {"mlp_only_layers": [1]}, "has dense layers"),
        ("qwen2", {"use_sliding_window": True}, "attends through a sliding window"),
    ],
    ids=["family", "scaling", "experts", "window"],
)
def test_what_llama_cpp_has_no_place_for_is_refused_by_name(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, kind: str, shape: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        export(engine, make_model(kind, bits=None, **shape), tmp_path / "out")
    assert "--to hf" in str(refused.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_cuts_text_in_its_own_way_is_refused(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"cuts text in a way that llama\.cpp has no name for") as refused:
        export(engine, make_model("qwen3"), tmp_path / "out")
    assert "--to hf" in str(refused.value.hint)


def test_without_the_package_nothing_is_written(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(EngineFault, match="isn't installed") as fault:
        export(engine, make_model("qwen3"), tmp_path / "out")
    assert fault.value.hint == 'pip install "topcoat[gguf]"'
    assert list(tmp_path.iterdir()) == []


def test_numbers_beyond_float16_leave_nothing_behind(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = with_known_pieces(make_model("qwen3", bits=None), tmp_path / "m")
    tensors = load_file(model / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"] *= np.float32(1e8)
    mx.save_safetensors(str(model / "model.safetensors"), {name: mx.array(value) for name, value in tensors.items()})
    with pytest.raises(NumericalFault, match="F16 doesn't hold"):
        export(engine, model, tmp_path / "out", "f16")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
