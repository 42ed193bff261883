from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.conftest import MakeModel
from tests.engine.mlx.test_loss import rows
from topcoat.engine.base import Row
from topcoat.engine.mlx.forward import Forward, SplitForward, WholeForward, choose_forward, shared_prefix
from topcoat.engine.mlx.lora import adapter_weights, attach
from topcoat.engine.mlx.model import load
from topcoat.engine.mlx.scalar import scalar
from topcoat.spec.phase import LoraSpec, TrainSpec


def adapted(make_model: MakeModel, num_layers: int = 2, *, keys: list[str] | None = None, **shape: Any) -> nn.Module:
    """A random model with adapters whose deltas are not zero."""
    model = load(make_model(**shape)).model
    mx.random.seed(0)
    attach(model, TrainSpec(num_layers=num_layers, lora=LoraSpec(keys=keys)))
    noise = {n: v + 0.02 * mx.random.normal(v.shape) for n, v in adapter_weights(model).items()}
    model.load_weights(list(noise.items()), strict=False)
    return model


def loss_and_gradient(
    model: nn.Module, forward: Forward, data: Sequence[Row] | None = None
) -> tuple[float, float, np.ndarray]:
    arrays = forward.arrays(data or rows(5))
    (loss, weight), gradient = nn.value_and_grad(model, forward.loss)(model, *arrays)
    flat = np.concatenate([np.array(g).reshape(-1) for _, g in sorted(tree_flatten(gradient))])
    return scalar(loss), scalar(weight), flat


@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize(
    "shape", [{"kind": "qwen3"}, {"kind": "qwen3_moe"}, {"tie_word_embeddings": False}], ids=["tied", "experts", "head"]
)
def test_losses_and_gradients_are_the_whole_model_s(
    make_model: MakeModel, shape: dict[str, Any], num_layers: int
) -> None:
    model = adapted(make_model, num_layers, **shape)
    split, said = choose_forward(model, rows(5))
    assert isinstance(split, SplitForward)
    assert f"trunk of {4 - num_layers} layers" in said
    loss, weight, gradient = loss_and_gradient(model, split)
    whole_loss, whole_weight, whole_gradient = loss_and_gradient(model, WholeForward())
    assert weight == whole_weight
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert np.abs(gradient - whole_gradient).max() < 1e-4 * np.abs(whole_gradient).max()


def with_prefix(length: int) -> list[Row]:
    """Rows that begin with the same tokens."""
    prefix = np.arange(7, 7 + length, dtype=np.int32)
    untrained = np.zeros(length, np.bool_)
    return [
        Row(np.concatenate([prefix, row.tokens]), np.concatenate([untrained, row.trained]), row.weight)
        for row in rows(5)
    ]


@pytest.mark.parametrize("length", [8, 50])
@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_a_shared_prefix_changes_neither_losses_nor_gradients(make_model: MakeModel, kind: str, length: int) -> None:
    model = adapted(make_model, kind=kind)
    data = with_prefix(length)
    split, said = choose_forward(model, data)
    assert isinstance(split, SplitForward)
    assert f"a prefix of {length} tokens shared by all 5 rows" in said
    assert split.arrays(data)[0].shape[1] <= max(len(row.tokens) for row in data) - length + 8
    loss, weight, gradient = loss_and_gradient(model, split, data)
    whole_loss, whole_weight, whole_gradient = loss_and_gradient(model, WholeForward(), data)
    assert weight == whole_weight
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert np.abs(gradient - whole_gradient).max() < 1e-4 * np.abs(whole_gradient).max()


def row(tokens: list[int], first_trained: int) -> Row:
    return Row(np.array(tokens, np.int32), np.arange(len(tokens)) >= first_trained)


def test_the_prefix_ends_where_rows_differ() -> None:
    assert shared_prefix([row([1, 2, 3, 4, 5, 6], 5), row([1, 2, 3, 9, 5, 6], 5)]) == [1, 2, 3]


def test_the_prefix_leaves_the_token_before_the_first_trained_one_to_the_row() -> None:
    assert shared_prefix([row([1, 2, 3, 4, 5, 6], 3), row([1, 2, 3, 4, 5, 7], 5)]) == [1, 2]
    assert shared_prefix([row([1, 2, 3], 1)]) == []


def test_dropout_shares_no_prefix(make_model: MakeModel) -> None:
    _, said = choose_forward(adapted(make_model), with_prefix(50), dropout=0.1)
    assert "prefix" not in said


def test_activations_don_t_depend_on_the_batch_that_first_needed_them(make_model: MakeModel) -> None:
    model = adapted(make_model)
    first, second = SplitForward(model, 2), SplitForward(model, 2)
    data = rows(6)
    alone = first.arrays(data[2:3])[0][0]
    together = second.arrays(data)[0][2]
    length = len(data[2].tokens) - 1
    assert np.array_equal(np.array(alone[:length]), np.array(together[:length]))


def test_dropout_doesn_t_hide_that_split_and_whole_agree(make_model: MakeModel) -> None:
    model = load(make_model()).model
    attach(model, TrainSpec(num_layers=2, lora=LoraSpec(dropout=0.5)))
    model.load_weights([(n, mx.ones(v.shape) * 0.01) for n, v in adapter_weights(model).items()], strict=False)
    model.train()
    assert isinstance(choose_forward(model, rows(5))[0], SplitForward)


def test_an_architecture_that_scales_its_embeddings_is_computed_whole(make_model: MakeModel) -> None:
    model = adapted(make_model, kind="gemma")
    forward, said = choose_forward(model, rows(5))
    assert isinstance(forward, WholeForward)
    assert "differ by" in said


def test_adapters_outside_the_layers_need_the_whole_model(make_model: MakeModel) -> None:
    model = adapted(make_model, keys=["self_attn.q_proj", "model.embed_tokens"])
    forward, said = choose_forward(model, rows(5))
    assert isinstance(forward, WholeForward)
    assert "outside the layers" in said
