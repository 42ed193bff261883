from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm import load as stock_load
from mlx_lm import stream_generate
from mlx_lm.utils import compute_bits_per_weight, load_model

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel, in_hugging_face_layout
from tests.support.mlx.rows import rows
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.fuse import fused_folder
from topcoat.engine.mlx.model import stored as stored_module
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import load_adapter
from topcoat.engine.mlx.model.shards import Shard
from topcoat.engine.mlx.model.stored import StoredTensors
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import FuseJob, RebuildJob
from topcoat.errors import EngineFault, FuseRefused, InvalidInput
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec, TrainSpec


def fuse(engine: MlxEngine, model: Path, adapters: list[Path], output: Path, **spec: object):  # type: ignore[no-untyped-def]
    base = spec.pop("base", model)
    valid = spec.pop("valid", [])
    assert isinstance(base, Path)
    job = FuseJob(base, model, adapters, FuseSpec.model_validate({"max_kl": 10.0, **spec}), valid, output)  # type: ignore[arg-type]
    return engine.fuse(job, Silent())


def tensor_hashes(folder: Path) -> dict[str, str]:
    hashes = {}
    for path in sorted(folder.glob("model*.safetensors")):
        shard = Shard.open(path)
        data = path.read_bytes()[shard.start :]
        for name, tensor in shard.tensors.items():
            begin, end = tensor["data_offsets"]
            hashes[name] = hashlib.sha256(data[begin:end]).hexdigest() + str(tensor["dtype"]) + str(tensor["shape"])
    return hashes


def logits(folder: Path, adapter: Path | None = None) -> mx.array:
    model, _ = load_model(folder)
    if adapter is not None:
        load_adapter(model, adapter)
    return model(mx.array([list(range(5, 45))])).astype(mx.float32)


KINDS = [
    {"kind": "qwen3"},
    {"kind": "qwen3", "tie_word_embeddings": False},
    {"kind": "qwen3_moe", "tie_word_embeddings": False},
    {"kind": "qwen3", "bits": None},
    {"kind": "qwen3", "bits": 4, "group_size": 32},
    {"kind": "qwen3", "group_size": 128, "hidden_size": 128},
    {"kind": "qwen2"},
]


@pytest.mark.parametrize(
    "shape", KINDS, ids=["dense", "untied", "experts", "unquantized", "groups-of-32", "groups-of-128", "biases"]
)
def test_the_fused_model_is_base_and_adapter_in_stock_mlx_lm(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, shape: dict[str, object]
) -> None:
    model = make_model(**shape)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    report = fuse(engine, model, [adapter], tmp_path / "fused", bits=8 if shape.get("bits", 5) else "none")
    before, after = tensor_hashes(model), tensor_hashes(tmp_path / "fused")
    adapted = tuple(module.name for module in report.modules)
    assert adapted
    assert all(".layers.2." in name or ".layers.3." in name for name in adapted)
    packed = {f"{name}.{part}" for name in adapted for part in ("weight", "scales", "biases")}
    untouched = {name: value for name, value in before.items() if name not in packed}
    assert len(untouched) == report.copied_tensors
    assert untouched.items() <= after.items()
    assert all(before.get(f"{name}.weight") != after[f"{name}.weight"] for name in adapted)

    meant, plain, fused = logits(model, adapter), logits(model), logits(tmp_path / "fused")
    moved = scalar(mx.abs(meant - plain).mean())
    assert scalar(mx.abs(meant - fused).mean()) < 0.1 * moved
    if shape["kind"] == "qwen3_moe":
        assert {name.partition(".mlp.")[2] for name in adapted} >= {"gate", "switch_mlp.up_proj"}

    stock, tokenizer = stock_load(str(tmp_path / "fused"))
    answer = stream_generate(stock, tokenizer, list(range(5, 45)), max_tokens=3)
    assert next(answer).token == int(fused[0, -1].argmax())
    assert len(list(answer)) == 2


def test_small_deltas_survive_where_a_plain_fuse_rounds_them_away(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    adapter = make_adapter(model, tmp_path / "adapter", size=0.01)
    report = fuse(engine, model, [adapter], tmp_path / "fused")
    assert report.survival >= 0.95
    assert min(module.bits or 16 for module in report.modules) > 5
    with pytest.raises(FuseRefused, match=r"0\.\d+ of the delta survives at 5 bits"):
        fuse(engine, model, [adapter], tmp_path / "refused", bits=5)
    assert not (tmp_path / "refused").exists()


def test_deltas_of_successive_phases_add_up_from_the_master(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    """Ten coats: the weight holds the root plus the sum of all deltas, not a chain of roundings."""
    root = make_model()
    name = "model.layers.3.mlp.up_proj"
    adapters: list[Path] = []
    base = root
    for phase in range(10):
        adapters.append(make_adapter(root, tmp_path / f"adapter{phase}", size=0.01, seed=phase, keys=["mlp.up_proj"]))
        output = tmp_path / f"fused{phase}"
        fuse(engine, root, adapters, output, base=base)
        base = output
    start, end = plain_weight(root, name), plain_weight(base, name)
    intended = np.sum([delta(folder, name) for folder in adapters], axis=0)
    change = end - start
    assert float((change * intended).sum() / (intended * intended).sum()) == pytest.approx(1.0, abs=0.05)


def plain_weight(folder: Path, name: str) -> np.ndarray:
    model = load(folder, Compute.DEQUANTIZED).model
    return np.array(dict(model.named_modules())[name].weight)


def delta(folder: Path, name: str) -> np.ndarray:
    weights = mx.load(str(folder / "adapters.safetensors"))
    assert isinstance(weights, dict)
    return np.array((weights[f"{name}.lora_a"] @ weights[f"{name}.lora_b"]).T)


def test_divergence_raises_the_bits_until_it_is_within_the_budget(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(bits=4)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.5)
    coarse = fuse(engine, model, [adapter], tmp_path / "coarse", valid=rows(3), min_survival=0.0)
    assert {module.bits for module in coarse.modules} == {4}
    tight = coarse.kl / 20
    fine = fuse(engine, model, [adapter], tmp_path / "fine", valid=rows(3), min_survival=0.0, max_kl=tight)
    assert fine.kl <= tight
    assert min(module.bits or 16 for module in fine.modules) > 4
    with pytest.raises(FuseRefused, match="nats per token"):
        fuse(engine, model, [adapter], tmp_path / "no", valid=rows(3), min_survival=0.0, bits=4, max_kl=tight)


def test_a_phase_costs_the_disk_of_its_adapted_modules(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    root = base = make_model()
    adapters: list[Path] = []
    written = []
    for phase in range(10):
        adapters.append(make_adapter(root, tmp_path / f"adapter{phase}", size=0.02, seed=phase))
        output = tmp_path / f"fused{phase}"
        report = fuse(engine, root, adapters, output, base=base, bits=8)
        written.append(report.bytes_written)
        base = output
    coat = (base / "model-coat-fused9.safetensors").stat().st_size
    assert written[1:] == [coat] * 9
    files = {path.stat().st_ino: path.stat().st_size for i in range(10) for path in (tmp_path / f"fused{i}").glob("*s")}
    assert sum(files.values()) == written[0] + 9 * coat
    assert written[0] <= coat + sum(path.stat().st_size for path in root.glob("*.safetensors"))
    stock_load(str(base))


def test_eight_bits_in_a_sixth_of_the_layers_take_less_than_six_throughout(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    shape = {"num_hidden_layers": 12, "intermediate_size": 256}
    base, uniform = make_model(bits=4, **shape), make_model(bits=6, **shape)
    adapter = make_adapter(base, tmp_path / "adapter", size=0.3)
    report = fuse(engine, base, [adapter], tmp_path / "fused", bits=8)

    def stored(folder: Path) -> dict[str, int]:
        tensors = [pair for path in folder.glob("model*.safetensors") for pair in Shard.open(path).tensors.items()]
        return {name: tensor["data_offsets"][1] - tensor["data_offsets"][0] for name, tensor in tensors}

    before, after = stored(base), stored(tmp_path / "fused")
    packed = {f"{module.name}.weight" for module in report.modules}
    assert after == {name: size * 2 if name in packed else size for name, size in before.items()}
    assert sum(after.values()) < sum(stored(uniform).values())
    assert report.size is not None
    assert report.size < sum(path.stat().st_size for path in uniform.glob("model*.safetensors"))


def test_the_bits_of_an_earlier_fuse_give_the_same_bytes(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(kind="qwen3_moe")
    adapter = make_adapter(model, tmp_path / "adapter", size=0.02)
    report = fuse(engine, model, [adapter], tmp_path / "first" / "fused", valid=rows(2))
    bits = {module.name: module.bits for module in report.modules}
    engine.rebuild(RebuildJob(model, model, [adapter], bits, tmp_path / "second" / "fused"), Silent())
    first, second = (engine.describe(tmp_path / name / "fused") for name in ("first", "second"))
    assert first == second


def test_one_master_is_in_memory_at_a_time(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(num_hidden_layers=8, hidden_size=128, intermediate_size=256, vocab_size=2048)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.02, layers=8)
    everything = sum(value.nbytes for _, value in tree_flatten(load(model, Compute.DEQUANTIZED).model.parameters()))
    largest = 4 * 128 * 256
    several = 24  # arrays as large as one module: quantizing, comparing and unpacking codes
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    report = fuse(engine, model, [adapter], tmp_path / "fused")
    assert {module.bits for module in report.modules} != {5}
    assert mx.get_peak_memory() - before < everything + several * largest
    mx.reset_peak_memory()
    bits = {module.name: module.bits for module in report.modules}
    engine.rebuild(RebuildJob(model, model, [adapter], bits, tmp_path / "again"), Silent())
    packed = (tmp_path / "fused" / "model-coat-fused.safetensors").stat().st_size
    assert mx.get_peak_memory() - before < packed + several * largest


def test_single_modules_may_have_bits_of_their_own(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    own = {"mlp.down_proj": 8, "model.layers.3.mlp.down_proj": "none"}
    report = fuse(engine, model, [adapter], tmp_path / "fused", bits=6, modules=own)
    for module in report.modules:
        layer = int(module.name.split(".")[2])
        expected = (8 if layer == 2 else None) if module.name.endswith("down_proj") else 6
        assert module.bits == expected, module.name
    stock_load(str(tmp_path / "fused"))


def test_bits_none_leaves_the_adapted_modules_unquantized(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    adapter = make_adapter(model, tmp_path / "adapter", size=0.05)
    report = fuse(engine, model, [adapter], tmp_path / "fused", bits="none")
    assert {module.bits for module in report.modules} == {None}
    assert mx.allclose(logits(tmp_path / "fused"), logits(model, adapter), atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("bits", [4, 8, "none"])
def test_the_report_counts_as_mlx_lm_does(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, bits: object
) -> None:
    base = make_model(bits=4)
    adapter = make_adapter(base, tmp_path / "adapter", size=0.3)
    valid = rows(3)
    report = fuse(engine, base, [adapter], tmp_path / "fused", bits=bits, min_survival=0.0, valid=valid)
    model, _ = load_model(tmp_path / "fused")
    assert report.bits_per_weight == pytest.approx(compute_bits_per_weight(model), rel=1e-6)
    assert report.size == sum(path.stat().st_size for path in (tmp_path / "fused").glob("model*.safetensors"))

    def loss(folder: Path, adapter: Path | None = None) -> float:
        losses = []
        model, _ = load_model(folder)
        if adapter is not None:
            load_adapter(model, adapter)
        for row in valid:
            tokens = mx.array(row.tokens[None])
            each = nn.losses.cross_entropy(model(tokens[:, :-1]).astype(mx.float32), tokens[:, 1:])[0]
            losses += np.array(each)[row.trained[1:]].tolist()
        return float(np.mean(losses))

    assert report.loss_fused == pytest.approx(loss(tmp_path / "fused"), rel=2e-3)
    assert report.loss_adapter == pytest.approx(loss(base, adapter), rel=2e-3)
    for module in report.modules:
        if bits == "none":
            assert (module.step, module.codes_changed) == (None, None)
        else:
            assert 0 < (module.step or 0) < 10 * module.weight_rms
            assert 0 < (module.codes_changed or 0) <= 1
    if bits == 8:
        coarse = fuse(engine, base, [adapter], tmp_path / "coarse", bits=4, min_survival=0.0, valid=valid)
        for fine, rough in zip(report.modules, coarse.modules, strict=True):
            assert (rough.step or 0) / (fine.step or 1) == pytest.approx(255 / 15, rel=0.1)
            assert (fine.codes_changed or 0) > (rough.codes_changed or 0)


def test_an_adapter_of_another_model_is_refused(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    adapter = make_adapter(make_model(), tmp_path / "adapter", size=0.1)
    other = make_model(hidden_size=128)
    with pytest.raises(InvalidInput, match="belongs to another model"):
        fuse(engine, other, [adapter], tmp_path / "fused")


def test_a_base_in_hugging_face_s_layout_is_fused_as_its_conversion_is(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice in a row, with experts and other modules adapted, and rebuilt: stock mlx-lm loads equal weights."""
    monkeypatch.setattr(fused_folder, "PART", 1 << 18)
    model = make_model("qwen3_moe", bits=None)
    published = in_hugging_face_layout(model, tmp_path / "published")
    adapters = [make_adapter(model, tmp_path / f"adapter{n}", size=0.2, seed=n) for n in range(2)]
    folders = []
    for name, base in (("converted", model), ("published", published)):
        first, second = tmp_path / f"{name}-1", tmp_path / f"{name}-2"
        fuse(engine, base, adapters[:1], first, valid=rows(3))
        report = engine.fuse(FuseJob(first, base, adapters, FuseSpec(max_kl=10.0), rows(3), second), Silent())
        again = tmp_path / f"{name}-again"
        bits = {module.name: module.bits for module in report.modules}
        engine.rebuild(RebuildJob(first, base, adapters, bits, again), Silent())
        assert tensor_hashes(again) == tensor_hashes(second)
        folders.append((first, second))
    for plain, ours in zip(*folders, strict=True):
        assert tensor_hashes(plain) == tensor_hashes(ours)
        load_model(ours)


@pytest.mark.parametrize("names", ["experts", "shapes"])
def test_weights_that_mlx_lm_can_t_convert_are_refused_with_the_command_that_mends_it(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    model = make_model()
    adapter = make_adapter(model, tmp_path / "adapter", size=0.1)
    if names == "experts":
        monkeypatch.setattr(StoredTensors, "stores", lambda stored, module: False)
        monkeypatch.setattr(stored_module, "converted", lambda folder: ({}, {}))
    else:
        monkeypatch.setattr(StoredTensors, "read", lambda stored, name: {f"{name}.weight": mx.zeros((3, 5))})
    for ask in (
        lambda: fuse(engine, model, [adapter], tmp_path / "fused"),
        lambda: engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec()),
        lambda: engine.adopt(model, adapter, tmp_path / "adopted"),
    ):
        with pytest.raises(EngineFault) as caught:
            ask()
        assert caught.value.hint is not None
        assert "mlx_lm convert" in caught.value.hint


def test_what_can_t_be_fused_is_known_before_training(engine: MlxEngine, make_model: MakeModel) -> None:
    model = make_model(bits=None, intermediate_size=72)
    engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec())
    with pytest.raises(InvalidInput, match=r"down_proj has rows of 72 weights, which can't be quantized") as refused:
        engine.require_trainable(model, TrainSpec(num_layers=2), FuseSpec(bits=4))
    assert refused.value.hint is not None
    name = refused.value.hint.split('"')[1]
    engine.require_trainable(
        model, TrainSpec(num_layers=2), FuseSpec(bits=4, modules={name: "none", "mlp.down_proj": "none"})
    )


def test_a_base_of_mlx_lm_s_mixed_recipes_names_no_group_size(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    """Its config has `group_size: null` for every module, which means MLX's default of 64."""
    model = tmp_path / "mixed"
    shutil.copytree(make_model(bits=4), model)
    config = json.loads((model / "config.json").read_text())
    names = {name.removesuffix(".scales") for name in Shard.open(next(model.glob("*.safetensors"))).tensors}
    config["quantization"] |= {
        name: {"group_size": None, "bits": 4, "mode": "affine"} for name in names if "proj" in name or "embed" in name
    }
    (model / "config.json").write_text(json.dumps(config))
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    report = fuse(engine, model, [adapter], tmp_path / "fused", valid=rows(3))
    plain = fuse(engine, make_model(bits=4), [adapter], tmp_path / "plain", valid=rows(3))
    assert report.modules == plain.modules
    assert report.bits_per_weight == pytest.approx(plain.bits_per_weight)
    stock_load(str(tmp_path / "fused"))


@pytest.mark.parametrize("bits", [None, 8])
def test_a_base_whose_config_has_no_bits_or_other_bits_than_its_tensors(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, bits: int | None
) -> None:
    """mlx-lm finds the packing in the tensors' shapes, so such a base works, and the figures are the tensors' too."""
    model = tmp_path / "nameless"
    shutil.copytree(make_model(bits=5), model)
    config = json.loads((model / "config.json").read_text())
    config["quantization"] |= {"bits": bits, "group_size": None}
    (model / "config.json").write_text(json.dumps(config))
    adapter = make_adapter(model, tmp_path / "adapter", size=0.3)
    report = fuse(engine, model, [adapter], tmp_path / "fused", valid=rows(3))
    plain = fuse(engine, make_model(bits=5), [adapter], tmp_path / "plain", valid=rows(3))
    assert report.modules == plain.modules
    assert report.bits_per_weight == pytest.approx(plain.bits_per_weight)
    stock_load(str(tmp_path / "fused"))


def apart(one: mx.array, other: mx.array) -> float:
    """The rms of what is different."""
    return scalar((one - other).square().mean().sqrt())


@pytest.mark.parametrize(("mode", "bits", "group_size"), [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)])
@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_a_base_in_a_floating_point_mode_is_fused_and_fused_again(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, mode: str, bits: int, group_size: int, kind: str
) -> None:
    model = make_model(kind, bits=bits, group_size=group_size, mode=mode, dtype="bfloat16")
    first = make_adapter(model, tmp_path / "first", size=0.3)
    report = fuse(engine, model, [first], tmp_path / "one", valid=rows(3), max_kl=0.005)
    assert min(module.survival for module in report.modules) >= 0.95
    assert apart(logits(tmp_path / "one"), logits(model, first)) < 0.3 * apart(logits(model), logits(model, first))
    stock_load(str(tmp_path / "one"))
    second = make_adapter(tmp_path / "one", tmp_path / "second", size=0.3, seed=1)
    again = fuse(engine, model, [first, second], tmp_path / "two", base=tmp_path / "one", valid=rows(3), max_kl=0.005)
    assert min(module.survival for module in again.modules) >= 0.95
    meant = logits(tmp_path / "one", second)
    assert apart(logits(tmp_path / "two"), meant) < 0.3 * apart(logits(tmp_path / "one"), meant)


def test_auto_takes_the_fewest_bits_at_which_enough_of_the_delta_survives(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(bits=4)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.02, keys=["self_attn.q_proj"], layers=1)
    fixed = {}
    for bits in (4, 5, 6, 8):
        report = fuse(engine, model, [adapter], tmp_path / str(bits), bits=bits, min_survival=0.0)
        fixed[bits] = min(module.survival for module in report.modules)
    assert sorted(fixed.values()) == list(fixed.values()), "more bits keep more"
    for bits, survival in fixed.items():
        report = fuse(engine, model, [adapter], tmp_path / f"auto-{bits}", min_survival=survival - 1e-6)
        assert {module.bits for module in report.modules} == {bits}
