"""Bases of every quantization: what their adapted modules' masters are, and what is known before anything is spent."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model
from safetensors.numpy import load_file, save_file

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel, model_of_config
from tests.support.mlx.rows import rows
from tests.support.mlx.training import SPEC, job
from tests.support.real_data import REPORTS
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import load_adapter
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import FuseJob, GenerateJob
from topcoat.errors import InvalidInput
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec

TOKENS = mx.array([list(range(5, 45))])


def logits(folder: Path, adapter: Path | None = None) -> mx.array:
    model = load(folder, Compute.DEQUANTIZED).model
    if adapter is not None:
        load_adapter(model, adapter)
    return model(TOKENS).astype(mx.float32)


def apart(one: mx.array, other: mx.array) -> float:
    return scalar((one - other).square().mean().sqrt())


@pytest.mark.slow
@pytest.mark.parametrize("report", ["null-group-size", "mxfp4"])
def test_a_base_as_people_have_it_goes_from_its_check_to_stock_answers(
    engine: MlxEngine, tmp_path: Path, report: str
) -> None:
    path = REPORTS / report / "config.json"
    if not path.is_file():
        pytest.skip("the shared reports are missing")
    model = model_of_config(json.loads(path.read_text()), tmp_path / "model")
    engine.require_trainable(model, SPEC, FuseSpec())
    engine.train(job(model, tmp_path / "run"), Silent())
    adapter = tmp_path / "run" / "adapter"
    fuse = FuseJob(model, model, [adapter], FuseSpec(max_kl=1.0), rows(2), tmp_path / "fused")
    assert min(module.survival for module in engine.fuse(fuse, Silent()).modules) >= 0.95
    stock, _ = load_model(tmp_path / "fused")
    prompt = [*range(7, 27)]
    (ours,) = engine.generate(GenerateJob(tmp_path / "fused", [prompt], [1]), Silent())
    assert ours.ids == (int(stock(mx.array([prompt]))[0, -1].argmax().item()),)


def test_experts_with_a_scale_of_their_own_are_read_with_it(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    """mlx-lm's nvfp4 with one more scale an expert. MLX computes with it on a GPU alone, and unpacks it anywhere."""
    plain = make_model("qwen3_moe", bits=None)
    model = make_model("qwen3_moe", bits=4, group_size=16, mode="nvfp4", global_scale=True)
    name = "layers.0.mlp.switch_mlp.up_proj.weight"
    meant, read = (
        dict(tree_flatten(load(folder, Compute.DEQUANTIZED).model.model.parameters()))[name]
        for folder in (plain, model)
    )
    assert apart(read, meant) < 0.2 * scalar(meant.square().mean().sqrt())
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec())
    fuse = FuseJob(model, model, [adapter], FuseSpec(bits=8, max_kl=1.0), rows(2), tmp_path / "fused")
    assert min(module.survival for module in engine.fuse(fuse, Silent()).modules) >= 0.95
    moved = apart(logits(model), logits(model, adapter))
    assert apart(logits(tmp_path / "fused"), logits(model, adapter)) < 0.1 * moved
    stock, _ = load_model(tmp_path / "fused", lazy=True)
    scaled = [name for name, _ in tree_flatten(stock.parameters()) if name.endswith("global_scale")]
    assert scaled
    assert all(name.startswith(("model.layers.0.", "model.layers.1.")) for name in scaled)


def in_awq_layout(model: Path, folder: Path) -> Path:
    """A plain model packed as AutoAWQ writes it: the layers' matrices transposed, eight outputs a word in its order."""
    places = [4 * place for place in (0, 4, 1, 5, 2, 6, 3, 7)]

    def words(codes: np.ndarray) -> np.ndarray:
        eights = codes.reshape(len(codes), -1, 8).astype(np.uint32)
        packed: np.ndarray = np.bitwise_or.reduce(eights << np.array(places, np.uint32), axis=-1)
        return packed.view(np.int32)

    tensors = {}
    for name, value in load_file(model / "model.safetensors").items():
        if ".layers." not in name or value.ndim < 2:
            tensors[name] = value
            continue
        module, groups = name.removesuffix(".weight"), value.T.reshape(-1, 64, len(value))
        low, high = groups.min(axis=1), groups.max(axis=1)
        scales = (high - low) / 15
        zeros = np.round(-low / scales)
        codes = np.clip(np.round(groups / scales[:, None]) + zeros[:, None], 0, 15)
        tensors[f"{module}.qweight"] = words(codes.reshape(value.T.shape))
        tensors[f"{module}.qzeros"], tensors[f"{module}.scales"] = words(zeros), scales.astype(np.float32)
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_base_of_autoawq_is_fused_in_mlx_lm_s_layout(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    plain = make_model(bits=None)
    model = in_awq_layout(plain, tmp_path / "awq")
    engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec())
    assert apart(logits(model), logits(plain)) < 0.5 * scalar(logits(plain).square().mean().sqrt())
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    fuse = FuseJob(model, model, [adapter], FuseSpec(max_kl=1.0), rows(2), tmp_path / "fused")
    report = engine.fuse(fuse, Silent())
    assert {module.bits for module in report.modules} == {4}
    assert min(module.survival for module in report.modules) >= 0.95
    stock, _ = load_model(tmp_path / "fused")
    meant = logits(model, adapter)
    assert apart(stock(TOKENS).astype(mx.float32), meant) < 0.35 * apart(logits(model), meant)


def test_an_adapter_of_a_kind_of_its_own_is_refused_before_anything_is_spent(
    engine: MlxEngine, make_model: MakeModel
) -> None:
    sizes = {"hidden_dim": 64, "num_layers": 4, "num_heads": 4, "num_kv_heads": 2, "num_kv_reuse_layers": 1}
    model = make_model("afm7", bits=None, **sizes)
    with pytest.raises(InvalidInput, match=r"qkv_proj\.lora_a\.0 belongs to a module of a kind of its own") as refused:
        engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec())
    assert refused.value.hint is not None
    keys = json.loads(refused.value.hint.removeprefix("keys = ").removesuffix(" under [train.lora]"))
    assert "mlp.down_proj" in keys
    engine.require_trainable(model, TrainSpec(num_layers=2, lora=LoraSpec(keys=keys)), FuseSpec())


@pytest.mark.slow
@pytest.mark.parametrize("rounding", ["nearest", "compensated"])
def test_a_dora_survives_its_fuse_and_the_next(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, rounding: str
) -> None:
    """Magnitudes and delta together are what has to survive: base and adapter, as mlx-lm computes them."""
    model = make_model(bits=4)
    spec = SPEC.model_copy(update={"fine_tune_type": "dora"})
    base, adapters = model, []
    for phase in ("one", "two"):
        engine.train(replace(job(base, tmp_path / f"run-{phase}", spec, rate=3e-3), valid=[]), Silent())
        adapters.append(tmp_path / f"run-{phase}" / "adapter")
        calibration = rows(4) if rounding == "compensated" else None
        fuse = FuseJob(base, model, adapters, FuseSpec(max_kl=1.0), rows(2), tmp_path / phase, calibration)
        report = engine.fuse(fuse, Silent())
        assert min(module.survival for module in report.modules) >= 0.95
        meant, before = logits(base, adapters[-1]), logits(base)
        assert apart(logits(tmp_path / phase), meant) < 0.35 * apart(before, meant)
        load_model(tmp_path / phase)
        base = tmp_path / phase


def test_a_dora_that_learned_nothing_changes_nothing_of_a_later_master(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    """The rows of a quantized base are shorter than its master's. That isn't a delta which has to survive."""
    root = make_model(bits=4)
    first = make_adapter(root, tmp_path / "first", size=0.3)
    engine.fuse(FuseJob(root, root, [first], FuseSpec(max_kl=1.0), rows(2), tmp_path / "one"), Silent())
    spec = SPEC.model_copy(update={"fine_tune_type": "dora", "iters": 2})
    engine.train(job(tmp_path / "one", tmp_path / "run", spec, rate=1e-12), Silent())
    adapters = [first, tmp_path / "run" / "adapter"]
    fuse = FuseJob(tmp_path / "one", root, adapters, FuseSpec(min_survival=0.0, max_kl=1.0), rows(2), tmp_path / "two")
    report = engine.fuse(fuse, Silent())
    assert max(module.delta_rms / module.weight_rms for module in report.modules) < 1e-6
