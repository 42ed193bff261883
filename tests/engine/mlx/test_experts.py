from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.engine.mlx import experts
from topcoat.engine.mlx.experts import LEAST, MOST, block_size, gather_mm


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40).map(sorted),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_products_and_gradients_are_mlxs_own(indices: list[int], width: int, out: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = mx.array(rng.normal(size=(len(indices), 1, width)).astype(np.float32))
    weights = mx.array(rng.normal(size=(6, out, width)).astype(np.float32))
    direction = mx.array(rng.normal(size=(len(indices), 1, out)).astype(np.float32))

    def value(a: mx.array, weights: mx.array) -> mx.array:
        found = gather_mm(a, weights.swapaxes(-1, -2), rhs_indices=mx.array(indices), sorted_indices=True)
        return (found * direction).sum()

    expected, references = mx.value_and_grad(value, (0, 1))(a, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experts, "LEAST", 4)  # so that some blocks are filled
        found, gradients = mx.value_and_grad(value, (0, 1))(a, weights)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
    for gradient, reference in zip(gradients, references, strict=True):
        assert mx.allclose(gradient, reference, rtol=1e-4, atol=1e-4)


def test_experts_may_depend_on_what_is_differentiated() -> None:
    a, weights = mx.random.normal((70, 1, 4)), mx.random.normal((3, 4, 4)).swapaxes(-1, -2)

    def twice(a: mx.array, product: Any) -> mx.array:
        for column in (0, 1):
            chosen = mx.stop_gradient((a[:, 0, column] > 0).astype(mx.uint32))
            order = mx.argsort(chosen)
            a = product(a[order], weights, rhs_indices=chosen[order], sorted_indices=True)
        return a.square().sum()

    expected = mx.grad(lambda a: twice(a, experts._stock_gather_mm))(a)
    assert mx.allclose(mx.grad(lambda a: twice(a, gather_mm))(a), expected, rtol=1e-4, atol=1e-4)


@given(st.integers(1, 10_000), st.integers(1, 512))
def test_blocks_are_between_an_eighth_and_a_quarter_of_an_experts_tokens(tokens: int, experts: int) -> None:
    size, share = block_size(tokens, experts), tokens / experts
    assert size in (16, 32, 64)
    assert size == LEAST or size <= share / 4
    assert size == MOST or size >= share / 8 - 1


@pytest.mark.parametrize("tokens", [[16] * 3, [0, 48, 0], [1, 1, 1], [17, 17, 17], [1000, 0, 1]])
def test_no_block_is_shared_by_two_experts(tokens: list[int]) -> None:
    a, indices = mx.ones((sum(tokens), 1, 2)), mx.array(np.repeat(np.arange(3), tokens))
    weights = mx.array([1.0, 10.0, 100.0])[:, None, None] * mx.ones((3, 2, 2))
    found = gather_mm(a, weights, rhs_indices=indices, sorted_indices=True)
    assert found[:, 0, 0].tolist() == np.repeat([2.0, 20.0, 200.0], tokens).tolist()
    # Blocks that are left over multiply with an expert that exists.
    assert experts._Blocks.of(indices, 3).experts.max().item() <= 2


@pytest.mark.parametrize(
    "given_",
    [
        {"rhs_indices": mx.array([1, 0, 1])},
        {"lhs_indices": mx.array([2, 0, 1]), "rhs_indices": mx.array([0, 1, 1]), "sorted_indices": True},
        {"rhs_indices": mx.array([[0], [1], [1]]), "sorted_indices": True},
        {},
    ],
)
def test_what_it_does_not_know_is_left_to_mlx(given_: dict[str, Any]) -> None:
    a, b = mx.random.normal((3, 1, 4)), mx.random.normal((3, 4, 5))
    found = gather_mm(a, b, **given_)
    assert mx.array_equal(found, experts._stock_gather_mm(a, b, **given_))
