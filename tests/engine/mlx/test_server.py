from __future__ import annotations

from types import SimpleNamespace

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.utils import load

from tests.conftest import MakeModel
from topcoat.engine.mlx.model import on_cpu
from topcoat.engine.mlx.server import make_quick_on_cpu


@pytest.mark.skipif(not on_cpu(), reason="on a GPU the server runs as it is")
def test_on_a_cpu_the_server_computes_the_same_without_quantized_products(make_model: MakeModel) -> None:
    folder = str(make_model())
    server = SimpleNamespace(load=load)
    make_quick_on_cpu(server)
    quick, *_ = server.load(folder, return_config=True)
    stock, *_ = load(folder)
    assert not any(isinstance(module, nn.QuantizedLinear) for module in quick.modules())
    tokens = mx.array([[5, 9, 300, 7]])
    assert mx.allclose(quick(tokens), stock(tokens).astype(mx.float32), atol=0.05).item()
