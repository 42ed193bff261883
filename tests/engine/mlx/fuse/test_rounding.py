from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model
from numpy.typing import NDArray

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.fuse.rounding import _factor_of_inverse, compensated_codes, input_moments
from topcoat.engine.mlx.model.codes import pack
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import load_adapter
from topcoat.engine.protocol import FuseJob, RebuildJob, Row
from topcoat.errors import NumericalFault
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec
from topcoat.store.records import FuseReport

BITS = (2, 3, 4, 5, 6, 8)
Floats = NDArray[np.float32]


def grid(weight: Floats, bits: int) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """MLX's own codes, scales and biases, in groups of 32."""
    packed, scales, biases = mx.quantize(mx.array(weight), group_size=32, bits=bits)
    codes = mx.dequantize(packed, mx.ones(scales.shape), mx.zeros(scales.shape), group_size=32, bits=bits)
    return np.array(codes).astype(np.uint8), np.array(scales), np.array(biases)


def plain(codes: NDArray[np.uint8], scales: Floats, biases: Floats) -> Floats:
    return np.repeat(scales, 32, axis=1) * codes + np.repeat(biases, 32, axis=1)


def weights(seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(24, 128)).astype(np.float32)


@pytest.mark.parametrize("width", [1, 64, 130, 300])
def test_the_factor_is_that_of_the_inverse(width: int) -> None:
    random = np.random.default_rng(0).normal(size=(width, 2 * width))
    matrix = random @ random.T + np.eye(width)
    factor = _factor_of_inverse(matrix)
    assert np.array_equal(factor, np.triu(factor))
    assert np.allclose(factor.T @ factor @ matrix, np.eye(width), atol=1e-9)


@pytest.mark.parametrize("bits", BITS)
def test_codes_are_packed_as_mlx_packs_them(bits: int) -> None:
    packed, _, _ = mx.quantize(mx.array(weights()), group_size=32, bits=bits)
    assert np.array_equal(pack(grid(weights(), bits)[0], bits), np.array(packed))


@pytest.mark.parametrize("bits", BITS)
def test_inputs_that_have_nothing_in_common_leave_every_weight_at_its_nearest(bits: int) -> None:
    nearest, scales, biases = grid(weights(), bits)
    for inputs in (np.eye(128), np.diag(np.arange(128.0)), np.zeros((128, 128))):
        assert np.array_equal(compensated_codes(weights(), scales, biases, bits, inputs.astype(np.float32)), nearest)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bits", BITS)
def test_outputs_on_correlated_inputs_keep_far_more(bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    inputs = (random.normal(size=(400, 16)) @ random.normal(size=(16, 128))).astype(np.float32)
    weight = weights(seed)
    nearest, scales, biases = grid(weight, bits)
    codes = compensated_codes(weight, scales, biases, bits, inputs.T @ inputs)
    assert codes.max() < 2**bits

    def error(codes: NDArray[np.uint8]) -> float:
        return float(np.square(inputs @ (plain(codes, scales, biases) - weight).T).sum())

    assert error(codes) < 0.5 * error(nearest)


def test_moments_are_those_of_what_the_modules_are_given(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model()
    model = load(folder, Compute.DEQUANTIZED).model
    load_adapter(model, make_adapter(folder, tmp_path / "adapter", size=0.3))
    tokens = rows(2)
    before = model(mx.array(tokens[0].tokens[None]))
    moments = input_moments(model, tokens)
    assert mx.array_equal(model(mx.array(tokens[0].tokens[None])), before)
    first = model.model.layers[2]
    total = mx.zeros((64, 64))
    for row in tokens:
        x = model.model.embed_tokens(mx.array(row.tokens[None]))
        for layer in model.model.layers[:2]:
            x = layer(x, "causal")
        given = first.input_layernorm(x)[0]
        total = total + given.T @ given
    assert mx.allclose(moments["model.layers.2.self_attn.q_proj"], total, rtol=1e-4, atol=1e-3)
    assert {name.split(".")[2] for name in moments} == {"2", "3"}


def test_inputs_that_overflow_are_said(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    adapter = make_adapter(model, tmp_path / "adapter", size=1e30)
    job = FuseJob(model, model, [adapter], FuseSpec(), [], tmp_path / "fused", calibration=rows(1))
    with pytest.raises(NumericalFault, match=r"layers\.3.* is not finite"):
        engine.fuse(job, Silent())


def lost(report: FuseReport) -> float:
    """The mean distance of survival from 1, over the modules whose rounding can be compensated."""
    return float(np.mean([abs(1 - module.survival) for module in report.modules if "switch_mlp" not in module.name]))


@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_a_fuse_keeps_the_outputs_and_gives_the_same_bytes_again(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, kind: str
) -> None:
    model = make_model(kind)
    adapter = make_adapter(model, tmp_path / "adapter", size=0.03)
    seen, spec = rows(3), FuseSpec(bits=5, min_survival=0.0, max_kl=10.0)

    def run(name: str, calibration: list[Row] | None = None) -> FuseReport:
        job = FuseJob(model, model, [adapter], spec, seen, tmp_path / name / "fused", calibration)
        return engine.fuse(job, Silent())

    nearest, ours = run("nearest"), run("ours", seen)
    assert (nearest.rounding, ours.rounding) == ("nearest", "compensated")
    assert ours.size == nearest.size
    assert nearest.kl is not None
    assert ours.kl is not None
    assert ours.kl < 0.8 * nearest.kl
    assert lost(ours) < 0.5 * lost(nearest)
    bits = {module.name: module.bits for module in ours.modules}
    engine.rebuild(RebuildJob(model, model, [adapter], bits, tmp_path / "again" / "fused", seen), Silent())
    digests = {name: engine.describe(tmp_path / name / "fused").digest for name in ("nearest", "ours", "again")}
    assert digests["again"] == digests["ours"] != digests["nearest"]
    tokens = mx.array(seen[0].tokens[None])
    meant, _ = load_model(model)
    load_adapter(meant, adapter)
    far, near = (load_model(tmp_path / name / "fused")[0](tokens) - meant(tokens) for name in ("nearest", "ours"))
    assert float(mx.abs(near).mean()) < 0.8 * float(mx.abs(far).mean())
