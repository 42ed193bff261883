from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchGLU
from mlx_lm.tuner.lora import LoRASwitchLinear

from topcoat.engine.mlx.cuda import experts

ROWS = 64
"""The most rows of a float32 product for which MLX's CUDA kernel keeps to 48 KB of shared memory."""


def mixture(width: int, inner: int, count: int) -> SwitchGLU:
    """A mixture with adapters, none of them zero."""
    module = SwitchGLU(width, inner, count)
    for name in ("gate_proj", "up_proj", "down_proj"):
        adapted = LoRASwitchLinear.from_base(module[name], r=4)
        adapted.lora_b = mx.random.normal(adapted.lora_b.shape) * 0.1
        adapted.linear.freeze()
        module[name] = adapted
    return module


def gradients(module: SwitchGLU, x: mx.array, indices: mx.array) -> dict[str, np.ndarray]:
    """Those of every adapter, and of the states."""

    def loss(parameters: Any, states: mx.array) -> mx.array:
        module.update(parameters)
        return mx.sin(module(states, indices)).sum()

    of_adapters, of_states = mx.grad(loss, argnums=(0, 1))(module.trainable_parameters(), x)
    found = {**dict(tree_flatten(of_adapters)), "states": of_states}
    return {name: np.array(value) for name, value in found.items()}


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=31),
    st.integers(0, 1000),
)
def test_gradients_of_few_tokens_are_mlx_s(choices: list[tuple[int, int]], seed: int) -> None:
    mx.random.seed(seed)
    module = mixture(24, 12, 5)
    x, indices = mx.random.normal((1, len(choices), 24)), mx.array([choices])
    expected = gradients(module, x, indices)
    with experts.replacing():
        found = gradients(module, x, indices)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.abs(found[name] - value).max() <= 1e-5 * max(1.0, np.abs(value).max()), name


def test_no_product_with_experts_has_too_many_rows_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    stock = experts._stock_gather_mm

    def watched(a: mx.array, *others: Any, **options: Any) -> mx.array:
        # Inside, MLX makes gradients of its own only for products that it differentiates; ours are all seen here.
        rows.append(a.shape[-2])
        return stock(a, *others, **options)

    monkeypatch.setattr(experts, "_stock_gather_mm", watched)
    with experts.replacing():
        gradients(mixture(256, 128, 4), mx.random.normal((1, 8, 256)), mx.array([[[0, 1]] * 8]))
    assert len(rows) > 6  # products forward, and those of the gradients
    assert max(rows) <= ROWS


def test_many_tokens_are_left_to_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "custom_function", lambda _: pytest.fail("replaced"))
    with experts.replacing():
        mixture(24, 12, 4)(mx.random.normal((1, 40, 24)), mx.array([[[0, 1]] * 40]))


def test_mlx_has_its_own_product_again_afterwards() -> None:
    stock = mx.gather_mm
    with experts.replacing():
        assert mx.gather_mm is not stock
    assert mx.gather_mm is stock
