from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load as stock_load
from mlx_lm.utils import load_adapters, load_model

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import load_adapter, read_adapter
from topcoat.engine.protocol import ExportForm, ExportJob, FuseJob
from topcoat.errors import InvalidInput
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec
from topcoat.store.records import ExportReport

TOKENS = mx.array([list(range(5, 45))])


class Lineage:
    """A root and its fused models, one for each adapter."""

    def __init__(self, engine: MlxEngine, root: Path, folder: Path) -> None:
        self.engine, self.root, self.folder = engine, root, folder
        self.models, self.adapters = [root], list[Path]()

    def fuse(self, adapter: Path, **spec: object) -> None:
        self.adapters.append(adapter)
        output = self.folder / f"fused-{len(self.adapters)}"
        wanted = FuseSpec.model_validate({"max_kl": 10.0, **spec})
        self.engine.fuse(FuseJob(self.models[-1], self.root, self.adapters, wanted, [], output), Silent())
        self.models.append(output)

    def export(self, form: ExportForm, output: Path) -> ExportReport:
        job = ExportJob(self.models[-1], form, output, "tiny", root=self.root, adapters=self.adapters)
        return self.engine.export(job, Silent())


@pytest.fixture
def lineage(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> Lineage:
    return Lineage(engine, make_model("qwen3", bits=None), tmp_path)


def with_scale(adapter: Path, scale: float) -> Path:
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["lora_parameters"]["scale"] = scale
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return adapter


def logits(model: Path, adapter: Path | None = None) -> np.ndarray:
    loaded = load(model, Compute.DEQUANTIZED).model
    if adapter is not None:
        load_adapter(loaded, adapter)
    return np.array(loaded(TOKENS))


def make(lineage: Lineage, name: str, **how: object) -> Path:
    return make_adapter(lineage.root, lineage.folder / name, size=0.1, **how)  # type: ignore[arg-type]


def test_coats_of_other_layers_and_modules_are_one_adapter(lineage: Lineage, tmp_path: Path) -> None:
    """Without quantization, root + adapter is the fused model, whatever the coats have in common."""
    lineage.fuse(make(lineage, "a", seed=1, keys=["self_attn.q_proj", "mlp.down_proj"], layers=2))
    lineage.fuse(with_scale(make(lineage, "b", seed=2, keys=["mlp.down_proj"], layers=4), 2.0))
    lineage.fuse(make(lineage, "c", seed=3, layers=1))
    report = lineage.export("mlx-adapter", tmp_path / "out")
    assert report.coats is not None
    assert (report.coats.coats, report.coats.rank) == (3, 12)
    assert report.coats.survival == pytest.approx(1.0, abs=1e-5)
    assert report.coats.apart < 1e-5
    assert report.notes == ["3 coats with the scales 1, 2: the matrices B take them up, rounded in float32"]
    together = logits(lineage.root, tmp_path / "out")
    np.testing.assert_allclose(together, logits(lineage.models[-1]), atol=2e-5)
    assert np.abs(together - logits(lineage.root)).max() > 0.01
    assert np.abs(together - logits(lineage.models[-2])).max() > 0.01


def test_stock_mlx_lm_loads_the_adapter(lineage: Lineage, tmp_path: Path) -> None:
    lineage.fuse(make(lineage, "a", seed=1))
    lineage.fuse(make(lineage, "b", seed=2))
    lineage.export("mlx-adapter", tmp_path / "out")
    stock_load(str(lineage.root), adapter_path=str(tmp_path / "out"))
    model = load_adapters(load_model(lineage.root)[0], str(tmp_path / "out"))
    np.testing.assert_allclose(np.array(model(TOKENS)), logits(lineage.models[-1]), atol=1e-4)


def test_the_matrices_stand_side_by_side_as_they_were(lineage: Lineage, tmp_path: Path) -> None:
    first, second = make(lineage, "a", seed=1), make(lineage, "b", seed=2)
    lineage.fuse(first)
    lineage.fuse(second)
    assert lineage.export("mlx-adapter", tmp_path / "out").notes == []
    (_, one), (_, other), (_, both) = (read_adapter(folder) for folder in (first, second, tmp_path / "out"))
    for part, axis in (("lora_a", 1), ("lora_b", 0)):
        name = f"model.layers.3.self_attn.q_proj.{part}"
        np.testing.assert_array_equal(both[name], mx.concatenate([one[name], other[name]], axis))


@pytest.mark.parametrize("bits", [4, 8])
def test_what_requantizing_changed_is_measured(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, bits: int
) -> None:
    lineage = Lineage(engine, make_model("qwen3", bits=4), tmp_path)
    lineage.fuse(make(lineage, "a", seed=1, keys=["mlp.down_proj"]), bits=bits, min_survival=0.0)
    report = lineage.export("mlx-adapter", tmp_path / "out")
    assert report.coats is not None

    def weight(folder: Path, layer: int, adapter: Path | None = None) -> np.ndarray:
        model = load(folder, Compute.DEQUANTIZED).model
        if adapter is not None:
            load_adapter(model, adapter)
            return np.array(model.layers[layer].mlp.down_proj.fuse().weight)
        return np.array(model.layers[layer].mlp.down_proj.weight)

    apart, survivals = [], []
    for layer in (2, 3):
        before = weight(lineage.root, layer)
        meant = weight(lineage.root, layer, tmp_path / "out") - before
        change = weight(lineage.models[-1], layer) - before
        apart.append(np.linalg.norm(change - meant) / np.linalg.norm(meant))
        survivals.append((change * meant).sum() / (meant * meant).sum())
    assert report.coats.modules == 2
    assert report.coats.apart == pytest.approx(max(apart), rel=1e-3)
    assert report.coats.survival == pytest.approx(min(survivals), rel=1e-3)


@pytest.mark.parametrize("coats", [1, 2])
def test_peft_form_comes_back_as_the_same_adapter(lineage: Lineage, tmp_path: Path, coats: int) -> None:
    for number in range(coats):
        lineage.fuse(make(lineage, f"coat{number}", seed=number, keys=["self_attn.q_proj"]))
    lineage.export("peft", tmp_path / "peft")
    lineage.export("mlx-adapter", tmp_path / "mlx")
    lineage.engine.adopt(lineage.root, tmp_path / "peft", tmp_path / "back")
    (own, one), (theirs, other) = (read_adapter(tmp_path / name) for name in ("mlx", "back"))
    assert own["lora_parameters"] == theirs["lora_parameters"]
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_peft_gets_only_modules_that_a_coat_has(lineage: Lineage, tmp_path: Path) -> None:
    lineage.fuse(make(lineage, "a", seed=1, keys=["mlp.down_proj"], layers=1))
    lineage.fuse(make(lineage, "b", seed=2, keys=["self_attn.q_proj"], layers=2))
    lineage.export("peft", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["target_modules"] == [
        "model.layers.2.self_attn.q_proj",
        "model.layers.3.mlp.down_proj",
        "model.layers.3.self_attn.q_proj",
    ]
    assert (config["r"], config["lora_alpha"]) == (8, 8.0)


def test_a_root_has_no_coats(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    root = make_model("qwen3")
    with pytest.raises(InvalidInput, match="tiny has no coats"):
        engine.export(ExportJob(root, "peft", tmp_path / "out", "tiny", root=root), Silent())


def test_numbers_of_an_adapter_cannot_be_chosen(lineage: Lineage, tmp_path: Path) -> None:
    lineage.fuse(make(lineage, "a"))
    job = ExportJob(lineage.models[-1], "peft", tmp_path / "out", "tiny", "f16", lineage.root, lineage.adapters)
    with pytest.raises(InvalidInput, match="not as f16"):
        lineage.engine.export(job, Silent())


def test_experts_are_stacked_for_mlx_lm_and_refused_for_peft(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    lineage = Lineage(engine, make_model("qwen3_moe", bits=None), tmp_path)
    for number in range(2):
        lineage.fuse(make(lineage, f"coat{number}", seed=number, keys=["mlp.switch_mlp.down_proj"]))
    lineage.export("mlx-adapter", tmp_path / "out")
    np.testing.assert_allclose(logits(lineage.root, tmp_path / "out"), logits(lineage.models[-1]), atol=2e-5)
    with pytest.raises(InvalidInput, match="holds a mixture's experts") as refused:
        lineage.export("peft", tmp_path / "peft")
    assert "mlx-adapter" in str(refused.value.hint)
