from __future__ import annotations

import os
import subprocess
import sys

import mlx.core as mx
import pytest

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.compute import COMPUTE_VARIABLE, Compute, chosen_compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.errors import InvalidInput
from topcoat.progress import Silent


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


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("compute", Compute)
def test_mlx_s_functions_are_replaced_on_a_cpu_alone(compute: Compute, on_cpu: bool) -> None:
    """In a process of its own: what is replaced stays replaced."""
    script = (
        "import mlx.core as mx, mlx.nn as nn\n"
        "stock = mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm\n"
        "import topcoat.engine.mlx.engine as engine\n"
        "from topcoat.engine.mlx.compute import Compute\n"
        f"engine.on_cpu = lambda: {on_cpu}\n"
        f"engine.MlxEngine(Compute({str(compute)!r}))\n"
        "now = mx.fast.scaled_dot_product_attention, nn.silu, mx.gather_mm\n"
        f"assert [a is b for a, b in zip(now, stock)] == [{not on_cpu}] * 3\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


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


@pytest.mark.parametrize(("width", "on_cpu", "asked"), [(64, True, 1), (64, False, None), (512, True, os.cpu_count())])
def test_threads_follow_the_model_s_width_on_a_cpu(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, width: int, on_cpu: bool, asked: int | None
) -> None:
    threads: list[int] = []
    monkeypatch.setattr("topcoat.engine.mlx.model.folder.set_threads", threads.append)
    monkeypatch.setattr("topcoat.engine.mlx.model.folder.on_cpu", lambda: on_cpu)
    load(make_model(hidden_size=width), Compute.AS_STORED, lazy=True)
    assert threads == ([asked] if asked else [])
