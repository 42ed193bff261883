from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load as stock_load
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel, in_hugging_face_layout
from tests.support.recorder import Recorder
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.export import hf
from topcoat.engine.mlx.export.layouts import LAYOUTS
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import ExportJob, FuseJob, Numbers
from topcoat.errors import InvalidInput, NumericalFault, Refused
from topcoat.progress import Note, Silent
from topcoat.spec.phase import FuseSpec
from topcoat.store.records import ExportReport

TOKENS = mx.array([list(range(5, 45))])


def export(engine: MlxEngine, model: Path, output: Path, numbers: Numbers = "as-stored") -> ExportReport:
    return engine.export(ExportJob(model, "hf", output, "tiny", numbers), Silent())


def tensors(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "numpy") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    return found


def load_file_of(folder: Path) -> dict[str, mx.array]:
    loaded = mx.load(str(folder / "model.safetensors"))
    assert isinstance(loaded, dict)
    return loaded


def logits(folder: Path) -> np.ndarray:
    return np.array(load(folder, Compute.DEQUANTIZED).model(TOKENS))


@pytest.mark.parametrize(
    ("kind", "bits", "dtype"), [("qwen3", 5, "float32"), ("llama", 4, "float16"), ("qwen2", None, "float32")]
)
def test_the_folder_computes_what_the_model_computes(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, kind: str, bits: int | None, dtype: str
) -> None:
    model = make_model(kind, bits=bits, dtype=dtype)
    report = export(engine, model, tmp_path / "out")
    assert report.rounding == 0.0
    assert report.size == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors"))
    np.testing.assert_array_equal(logits(tmp_path / "out"), logits(model))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not {"quantization", "quantization_config"} & config.keys()
    assert config["dtype"] == dtype
    assert config["architectures"] == [LAYOUTS[kind].architecture]


def test_a_fused_model_is_exported_with_its_coat(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("qwen3", bits=4)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.05)
    spec = FuseSpec(max_kl=10.0, bits=8)
    engine.fuse(FuseJob(model, model, [adapter], spec, [], tmp_path / "fused"), Silent())
    export(engine, tmp_path / "fused", tmp_path / "out")
    np.testing.assert_array_equal(logits(tmp_path / "out"), logits(tmp_path / "fused"))
    assert not np.allclose(logits(tmp_path / "out"), logits(model))


def test_a_mixtures_experts_are_apart_as_they_were_published(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model("qwen3_moe", bits=None)
    published = in_hugging_face_layout(model, tmp_path / "published")
    export(engine, model, tmp_path / "out")
    own, theirs = tensors(tmp_path / "out"), tensors(published)
    assert own.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(own[name], value, err_msg=name)


@pytest.mark.parametrize("numbers", ["f16", "bf16"])
def test_what_rounding_changes_is_measured(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, numbers: Numbers
) -> None:
    model = make_model("qwen3", bits=None)
    report = export(engine, model, tmp_path / "out", numbers)
    written, exact = load_file_of(tmp_path / "out"), load_file_of(model)
    apart = [
        scalar(mx.linalg.norm(written[name].astype(mx.float32) - value)) / scalar(mx.linalg.norm(value))
        for name, value in exact.items()
    ]
    assert report.rounding == pytest.approx(max(apart), rel=1e-4)
    assert 0 < max(apart) < 2.0 ** (-11 if numbers == "f16" else -8)
    assert report.kinds == {{"f16": "float16", "bf16": "bfloat16"}[numbers]: len(exact)}


def test_large_models_are_written_in_parts_with_an_index(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf, "PART", 100_000)
    model = make_model("qwen3")
    export(engine, model, tmp_path / "out")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / "out" / file, "numpy") as opened:
            assert name in opened.keys()  # noqa: SIM118  # not a mapping
    assert len(set(index["weight_map"].values())) > 2
    np.testing.assert_array_equal(logits(tmp_path / "out"), logits(model))


def test_the_tokenizer_and_the_ends_go_along(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("qwen3", eos_token_id=2)
    export(engine, model, tmp_path / "out")
    asked = [{"role": "user", "content": "What is in docs/plan.md?"}]
    own, theirs = engine.tokenizer(model), engine.tokenizer(tmp_path / "out")
    assert theirs.chat(asked, add_generation_prompt=True) == own.chat(asked, add_generation_prompt=True)
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"] == 2
    stock_load(str(tmp_path / "out"))


def test_the_size_is_said_before(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    recorder = Recorder()
    engine.export(ExportJob(make_model("qwen3"), "hf", tmp_path / "out", "tiny", "bf16"), recorder)
    (note,) = [event for event in recorder.events if isinstance(event, Note)]
    written = sum(value.nbytes for value in load_file_of(tmp_path / "out").values())
    assert note.text == f"writing {written / 1e6:.1f} MB of weights"


def test_a_family_that_is_not_known_is_refused_by_name(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model("helium", bits=None, attention_bias=False, mlp_bias=False)
    with pytest.raises(InvalidInput, match="of the family helium") as refused:
        export(engine, model, tmp_path / "out")
    assert "lmstudio" in str(refused.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_numbers_beyond_float16_leave_nothing_behind(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(make_model("qwen3", bits=None), model)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * np.float32(1e6)
    save_file(weights, model / "model.safetensors", {"format": "mlx"})
    with pytest.raises(NumericalFault, match=r"model\.norm\.weight"):
        export(engine, model, tmp_path / "out", "f16")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_there_stays_as_it_is(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="exists already"):
        export(engine, make_model("qwen3"), tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
