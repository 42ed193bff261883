from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP
from mlx_lm.tuner.lora import LoRASwitchLinear

from topcoat.engine.mlx.cpu import experts
from topcoat.engine.mlx.cpu.experts import LEAST, MOST, Blocks, block_size, gather_mm


@pytest.fixture(autouse=True)
def _in_their_place() -> Iterator[None]:
    """As while the engine computes on a CPU."""
    with experts.replacing():
        yield


CHOICES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=150)


pytestmark = pytest.mark.usefixtures("engine")  # which serves mlx-lm


@given(CHOICES)
def test_every_pair_has_a_slot_in_a_block_of_its_expert(choices: list[tuple[int, int]]) -> None:
    indices = mx.array(choices)
    blocks = Blocks.of(indices, 6)
    slots = np.array(blocks.slots)
    assert len(set(slots.flatten().tolist())) == slots.size
    of_slots = np.repeat(np.array(blocks.experts), blocks.pairs.shape[1])
    assert (of_slots[slots] == np.array(indices)).all()
    # Blocks that are left over multiply with an expert that exists.
    assert of_slots.max() < 6
    x = mx.arange(len(choices), dtype=mx.float32)[:, None]
    assert blocks.gathered(blocks.spread(x)).tolist() == [[[n], [n]] for n in range(len(choices))]


@given(st.integers(1, 10_000), st.integers(1, 512))
def test_blocks_are_between_an_eighth_and_a_quarter_of_an_experts_tokens(pairs: int, experts: int) -> None:
    size, share = block_size(pairs, experts), pairs / experts
    assert size in (16, 32, 64)
    assert size == LEAST or size <= share / 4
    assert size == MOST or size >= share / 8 - 1


def value_and_gradients(module: nn.Module, *given_: mx.array) -> list[mx.array]:
    """What the module makes of x and indices, and the gradients of a sum of it: in x and in what can be trained."""
    x, indices = given_
    direction = mx.random.normal((*indices.shape, x.shape[-1]), key=mx.random.key(1))

    def value(weights: dict[str, Any], x: mx.array) -> mx.array:
        module.update(weights)
        return (module(x, indices) * direction).sum()

    trained = module.trainable_parameters()
    of_weights, of_x = mx.grad(value, (0, 1))(trained, x)
    module.update(trained)
    return [module(x, indices), of_x, *(array for _, array in sorted(tree_flatten(of_weights)))]


@pytest.mark.parametrize(
    ("made", "stock", "names"),
    [
        (SwitchGLU, "_stock_glu", ("gate_proj", "up_proj", "down_proj")),
        (SwitchMLP, "_stock_mlp", ("fc1", "fc2")),
    ],
    ids=["glu", "mlp"],
)
@pytest.mark.parametrize("trained", ["lora", "weights"])
@given(choices=CHOICES, seed=st.integers(0, 2**32 - 1))
def test_mixtures_and_their_gradients_are_mlx_lms_own(
    made: Callable[..., nn.Module], stock: str, names: tuple[str, ...], trained: str, choices: Any, seed: int
) -> None:
    mx.random.seed(seed)
    module = made(8, 12, 6, bias=True)
    if trained == "lora":
        module.freeze()
        for name in names:
            wrapped = LoRASwitchLinear.from_base(module[name], r=3)
            wrapped.lora_b = mx.random.normal(wrapped.lora_b.shape)
            module[name] = wrapped
    x, indices = mx.random.normal((1, len(choices), 8)), mx.array(choices)[None]
    found = value_and_gradients(module, x, indices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "__call__", getattr(experts, stock))
        patch.setattr(mx, "gather_mm", experts._stock_gather_mm)
        expected = value_and_gradients(module, x, indices)
    assert len(found) == len(expected) == 2 + len(names) * 2
    for one, other in zip(found, expected, strict=True):
        assert mx.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_mixtures_that_are_quantized_or_serve_few_tokens_are_left_to_mlx_lm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blocks, "of", None)
    few, many = mx.zeros((1, 31, 2), mx.uint32), mx.zeros((1, 40, 2), mx.uint32)
    plain, quantized = SwitchGLU(64, 64, 3), SwitchGLU(64, 64, 3)
    nn.quantize(quantized, 32, 4)
    assert plain(mx.ones((1, 31, 64)), few).shape == (1, 31, 2, 64)
    assert quantized(mx.ones((1, 40, 64)), many).shape == (1, 40, 2, 64)
    with pytest.raises(TypeError):
        plain(mx.ones((1, 40, 64)), many)


@pytest.mark.parametrize(
    "given_",
    [
        {"rhs_indices": mx.array([1, 0, 1])},
        {"lhs_indices": mx.array([2, 0, 1]), "rhs_indices": mx.array([0, 1, 1]), "sorted_indices": True},
        {"rhs_indices": mx.array([[0], [1], [1]]), "sorted_indices": True},
        {},
    ],
)
@pytest.mark.parametrize("size", [1, LEAST])
def test_other_products_are_mlxs_own(given_: dict[str, Any], size: int) -> None:
    a, b = mx.random.normal((3, size, 4)), mx.random.normal((3, 4, 5))
    found, expected = gather_mm(a, b, **given_), experts._stock_gather_mm(a, b, **given_)
    assert found.shape == expected.shape
    assert mx.allclose(found, expected, rtol=1e-5, atol=1e-5)
