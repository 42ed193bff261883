"""MLX's own functions, and numpy in float64, are the references."""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm import load as stock_load

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.cpu import fast_math
from topcoat.engine.mlx.numbers import scalar


@pytest.fixture(autouse=True)
def _always_worthwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shapes take the fast path too, in several blocks."""
    monkeypatch.setattr(fast_math, "WORTHWHILE", 0)
    monkeypatch.setattr(fast_math, "BLOCK", 3)
    monkeypatch.setattr(fast_math, "FEWEST", 1)
    monkeypatch.setattr(fast_math, "SCORES", 18)


def far_apart(one: mx.array, other: mx.array) -> float:
    return scalar(mx.abs(one - other).max())


def test_exp2_is_right_to_two_units_in_the_last_place_over_its_whole_range() -> None:
    x = np.linspace(-126.0, 126.0, 1_000_001).astype(np.float32)
    exact = np.exp2(x.astype(np.float64))
    assert np.max(np.abs(np.array(fast_math.exp2(mx.array(x))) / exact - 1)) < 2.4e-7
    assert np.array(fast_math.exp2(mx.array([0.0, -126.5, -127.0, -1e30]))).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_silu_and_its_gradient() -> None:
    x = mx.concatenate([mx.random.normal((500,)) * 10, mx.array([-200.0, 0.0, 200.0])])
    assert mx.allclose(fast_math.silu(x), fast_math._stock_silu(x), rtol=1e-6, atol=1e-7)

    def total(function: Any) -> Any:
        return mx.grad(lambda x: (function(x) * mx.cos(x)).sum())(x)

    assert far_apart(total(fast_math.silu), total(fast_math._stock_silu)) < 5e-6


def test_swiglu_and_its_gradients() -> None:
    gate = mx.concatenate([mx.random.normal((500,)) * 10, mx.array([-200.0, 0.0, 200.0])])
    x = mx.random.normal(gate.shape)
    assert mx.allclose(fast_math.swiglu(gate, x), fast_math._stock_silu(gate) * x, rtol=1e-6, atol=1e-6)

    def total(function: Any) -> Any:
        return mx.grad(lambda gate, x: (function(gate, x) * mx.cos(x)).sum(), (0, 1))(gate, x)

    for found, expected in zip(
        total(fast_math.swiglu), total(lambda gate, x: fast_math._stock_silu(gate) * x), strict=True
    ):
        assert far_apart(found, expected) < 2e-5


def test_a_gradient_through_swiglu_keeps_its_two_arrays_alone() -> None:
    size = 1 << 20
    leaf = mx.random.normal((size,))
    mx.eval(leaf)
    before = mx.get_active_memory()
    value, gradient = mx.value_and_grad(lambda x: fast_math.swiglu(x + 1.0, x + 2.0).sum())(leaf)
    mx.eval(value)
    assert mx.get_active_memory() - before < 2.5 * 4 * size
    assert gradient.shape == leaf.shape


def test_models_of_mlx_lm_take_the_swiglu_given_here(make_model: MakeModel) -> None:
    folder = str(make_model("qwen3"))
    with fast_math.replacing():
        stock_load(folder)
        for name in ("qwen3", "switch_layers"):
            assert sys.modules[f"mlx_lm.models.{name}"].swiglu is fast_math.swiglu


@settings(max_examples=40)
@given(
    rows=st.integers(1, 3),
    key_heads=st.integers(1, 2),
    group=st.integers(1, 3),
    queries=st.integers(1, 8),
    before=st.integers(0, 5),
    masked=st.sampled_from(["causal", None, "own", "shared"]),
    seed=st.integers(0, 1000),
)
def test_attention_and_its_gradients_equal_mlx_s(
    rows: int, key_heads: int, group: int, queries: int, before: int, masked: str | None, seed: int
) -> None:
    mx.random.seed(seed)
    keys = queries + before
    q = mx.random.normal((rows, key_heads * group, queries, 8))
    k, v = mx.random.normal((2, rows, key_heads, keys, 8))
    direction = mx.random.normal(q.shape)
    mask: Any = masked
    if masked in ("own", "shared"):
        mask = mx.random.uniform(shape=(rows if masked == "own" else 1, 1, queries, keys)) < 0.6
        mask[..., 0] = True

    def directed(function: Any) -> Any:
        return lambda *given: (function(*given, scale=0.3, mask=mask) * direction).sum()

    expected = fast_math._stock_attention(q, k, v, scale=0.3, mask=mask)
    assert far_apart(fast_math.attention(q, k, v, scale=0.3, mask=mask), expected) < 2e-6
    gradients = mx.grad(directed(fast_math.attention), (0, 1, 2))(q, k, v)
    references = mx.grad(directed(fast_math._stock_attention), (0, 1, 2))(q, k, v)
    for gradient, reference in zip(gradients, references, strict=True):
        assert far_apart(gradient, reference) < 1e-5


@pytest.mark.parametrize("mask", ["causal", mx.array([[[[True, False, True, False]]]])])
def test_a_hidden_key_gives_nothing_and_gets_nothing(mask: str | mx.array) -> None:
    """Not even a subnormal number: an x86 CPU multiplies matrices that hold some many times slower."""
    q, k, v = (mx.random.normal((1, heads, 4, 8)) for heads in (2, 1, 1))
    hidden = slice(2, 4) if isinstance(mask, str) else slice(1, 2)
    huge = mx.where(mx.arange(4)[:, None] == hidden.start, 1e38, v)

    def output(k: mx.array, v: mx.array) -> mx.array:
        return fast_math.attention(q, k, v, scale=0.5, mask=mask)[:, :, : hidden.start]

    assert mx.array_equal(output(k, huge), output(k, v))
    for gradient in mx.grad(lambda k, v: output(k, v).sum(), (0, 1))(k, v):
        assert not gradient[:, :, hidden].any()


def test_a_long_prompt_in_a_batch_never_has_all_its_scores_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """mlx_lm.server gives a batch an array as its mask, also where nothing is padded."""
    monkeypatch.undo()
    heads, queries, keys = 2, 2048, 2048
    q, (k, v) = mx.random.normal((1, heads, queries, 8)), mx.random.normal((2, 1, heads, keys, 8))
    mask = (mx.arange(keys - queries, keys)[:, None] >= mx.arange(keys))[None, None]
    mx.eval(q, k, v, mask)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    output = fast_math.attention(q, k, v, scale=0.3, mask=mask)
    mx.eval(output)
    assert mx.get_peak_memory() - before < 2 * 4 * heads * queries * keys
    assert far_apart(output, fast_math._stock_attention(q, k, v, scale=0.3, mask="causal")) < 2e-6


def test_what_it_does_not_know_is_left_to_mlx() -> None:
    q = mx.random.normal((1, 4, 6, 8))
    additive = mx.where(mx.random.uniform(shape=(6, 6)) < 0.5, 0.0, -1.0)
    calls: list[tuple[dict[str, Any], mx.Dtype]] = [
        ({"mask": additive}, mx.float32),
        ({"sinks": mx.zeros((4,))}, mx.float32),
        ({}, mx.bfloat16),
    ]
    for given_, dtype in calls:
        x = q.astype(dtype)
        expected = fast_math._stock_attention(x, x, x, scale=0.3, **given_)
        assert mx.array_equal(fast_math.attention(x, x, x, scale=0.3, **given_), expected)


def test_cross_entropy_and_its_gradient() -> None:
    mx.random.seed(0)
    logits, targets = mx.random.normal((7, 300)) * 8, mx.random.randint(0, 300, (7,))
    weights = mx.random.uniform(shape=(7,))

    def weighted(function: Any) -> Any:
        return mx.value_and_grad(lambda logits: (function(logits, targets) * weights).sum())(logits)

    loss, gradient = weighted(fast_math.cross_entropy)
    expected, reference = weighted(nn.losses.cross_entropy)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert far_apart(gradient, reference) < 1e-6
