from __future__ import annotations

import os
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest

from tests.support.mlx.models import MakeModel
from tests.support.mlx.training import job
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.compute import COMPUTE_VARIABLE, TF32_VARIABLE, Compute, chosen_compute
from topcoat.engine.mlx.cpu.cores import usable_cores
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.protocol import FuseJob, GenerateJob
from topcoat.errors import InvalidInput
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMPUTE_VARIABLE, raising=False)


def test_a_cpu_dequantizes_and_a_gpu_computes_as_stored() -> None:
    assert chosen_compute(None, on_cpu=True) is Compute.DEQUANTIZED
    assert chosen_compute(None, on_cpu=False) is Compute.AS_STORED


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("name", ["dequantized", "as-stored"])
def test_an_option_goes_before_the_environment_and_that_before_the_device(
    monkeypatch: pytest.MonkeyPatch, name: str, on_cpu: bool
) -> None:
    other = "as-stored" if name == "dequantized" else "dequantized"
    assert chosen_compute(name, on_cpu=on_cpu) == name
    monkeypatch.setenv(COMPUTE_VARIABLE, other)
    assert chosen_compute(None, on_cpu=on_cpu) == other
    assert chosen_compute(name, on_cpu=on_cpu) == name


def test_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r'--compute: .*"float8"') as caught:
        open_engine(Silent(), "float8")
    assert caught.value.hint == "--compute dequantized or --compute as-stored"
    monkeypatch.setenv(COMPUTE_VARIABLE, "int4")
    with pytest.raises(InvalidInput, match=COMPUTE_VARIABLE):
        open_engine(Silent())


def test_the_engine_s_name_tells_ways_of_computing_apart(
    engine: MlxEngine, stored_engine: MlxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.name != stored_engine.name
    monkeypatch.setattr("topcoat.engine.mlx.engine.on_cpu", lambda: False)
    there = {MlxEngine(compute).name for compute in Compute}
    assert len({engine.name, stored_engine.name} | there) == 4
    assert all("gpu" in name for name in there)


def test_float32_products_stay_float32_unless_the_environment_asks_for_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.engine.on_cpu", lambda: False)
    monkeypatch.delenv(TF32_VARIABLE)
    open_engine(Silent())
    assert os.environ[TF32_VARIABLE] == "0"
    exact = MlxEngine(Compute.AS_STORED).name
    monkeypatch.setenv(TF32_VARIABLE, "1")
    open_engine(Silent())
    assert os.environ[TF32_VARIABLE] == "1"
    assert MlxEngine(Compute.AS_STORED).name == exact + " tf32"


@pytest.mark.parametrize("on_cpu", [True, False])
def test_mlx_s_functions_are_replaced_on_a_cpu_alone_and_for_the_time_of_a_job(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cpu: bool
) -> None:
    stock = mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm
    monkeypatch.setattr("topcoat.engine.mlx.cpu.quicken.on_cpu", lambda: on_cpu)

    class Watch:
        """Looks at MLX whenever something is reported."""

        def __init__(self) -> None:
            self.replaced: set[bool] = set()

        def emit(self, _: object) -> None:
            now = mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm
            self.replaced |= {a is not b for a, b in zip(now, stock, strict=True)}

    watch, model = Watch(), make_model()
    training = job(model, tmp_path)
    fusing = FuseJob(model, model, [tmp_path / "adapter"], FuseSpec(max_kl=10.0), training.valid, tmp_path / "fused")
    engine.train(training, watch)
    engine.fuse(fusing, watch)
    engine.generate(GenerateJob(model, [[1, 2, 3]], [2]), watch)
    assert watch.replaced == {on_cpu}
    assert stock == (mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm)


def test_opening_an_engine_replaces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm
    monkeypatch.setattr(mx, "disable_compile", lambda: pytest.fail("disabled"))
    open_engine(Silent())
    assert stock == (mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm)


@pytest.mark.parametrize("bits", [4, None])
@pytest.mark.parametrize("compute", Compute)
def test_how_a_model_computes_does_not_depend_on_the_device(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, compute: Compute, bits: int | None
) -> None:
    folder = make_model(bits=bits, dtype="bfloat16")
    tokens = mx.array([[5, 6, 7]])
    dtypes = []
    for on_cpu in (True, False):
        monkeypatch.setattr("topcoat.engine.mlx.model.folder.on_cpu", lambda on_cpu=on_cpu: on_cpu)
        dtypes.append(load(folder, compute).model(tokens).dtype)
    assert set(dtypes) == {mx.float32 if compute is Compute.DEQUANTIZED else mx.bfloat16}


@pytest.mark.parametrize(("width", "on_cpu", "asked"), [(64, True, 1), (64, False, None), (512, True, usable_cores())])
def test_threads_follow_the_model_s_width_on_a_cpu(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, width: int, on_cpu: bool, asked: int | None
) -> None:
    threads: list[int] = []
    monkeypatch.setattr("topcoat.engine.mlx.model.folder.set_threads", threads.append)
    monkeypatch.setattr("topcoat.engine.mlx.model.folder.on_cpu", lambda: on_cpu)
    load(make_model(hidden_size=width), Compute.AS_STORED, lazy=True)
    assert threads == ([asked] if asked else [])
