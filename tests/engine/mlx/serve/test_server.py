from __future__ import annotations

from types import SimpleNamespace

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.utils import load

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.serve.server import compute_as


@pytest.mark.parametrize("compute", Compute)
def test_the_server_computes_as_the_engine_does(make_model: MakeModel, compute: Compute) -> None:
    folder = str(make_model())
    server = SimpleNamespace(load=load)
    compute_as(compute, server)
    ours, *_ = server.load(folder, return_config=True)
    stock, *_ = load(folder)
    packed = any(isinstance(module, nn.QuantizedLinear) for module in ours.modules())
    assert packed == (compute is Compute.AS_STORED)
    tokens = mx.array([[5, 9, 300, 7]])
    assert mx.allclose(ours(tokens).astype(mx.float32), stock(tokens).astype(mx.float32), atol=0.05).item()


@pytest.mark.parametrize("on_cpu", [True, False])
def test_only_on_a_cpu_the_server_sets_threads(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, on_cpu: bool
) -> None:
    threads: list[int] = []
    monkeypatch.setattr("topcoat.engine.mlx.cpu.quicken.on_cpu", lambda: on_cpu)
    monkeypatch.setattr("topcoat.engine.mlx.model.folder.set_threads", threads.append)
    server = SimpleNamespace(load=load)
    compute_as(Compute.AS_STORED, server)
    server.load(str(make_model()))
    assert threads == ([1] if on_cpu else [])
