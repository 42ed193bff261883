from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows, with_prefix
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_weights, attach
from topcoat.engine.mlx.model.scalar import scalar
from topcoat.engine.mlx.train.forward import Forward, SplitForward, WholeForward
from topcoat.engine.mlx.train.prefix import shared_prefix
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.protocol import Row
from topcoat.progress import Silent
from topcoat.spec.phase import LoraSpec, TrainSpec
from topcoat.store.cache import ArrayCache


def adapted(folder: Path, num_layers: int = 2, *, keys: list[str] | None = None) -> nn.Module:
    """A random model with adapters whose deltas are not zero."""
    model = load(folder, Compute.DEQUANTIZED).model
    mx.random.seed(0)
    attach(model, TrainSpec(num_layers=num_layers, lora=LoraSpec(keys=keys)))
    noise = {n: v + 0.02 * mx.random.normal(v.shape) for n, v in adapter_weights(model).items()}
    model.load_weights(list(noise.items()), strict=False)
    return model


def split_of(model: nn.Module, folder: Path, num_layers: int, data: Sequence[Row], cache: Path) -> SplitForward:
    trunk = Trunk(
        folder, Compute.DEQUANTIZED, 4 - num_layers, shared_prefix(data), ArrayCache(cache), computed_by="test"
    )
    trunk.compute(data, Silent())
    return SplitForward(model, trunk)


def loss_and_gradient(model: nn.Module, forward: Forward, data: Sequence[Row]) -> tuple[float, float, np.ndarray]:
    arrays = forward.arrays(data)
    (loss, weight), gradient = nn.value_and_grad(model, forward.loss)(model, *arrays)
    flat = np.concatenate([np.array(g).reshape(-1) for _, g in sorted(tree_flatten(gradient))])
    return scalar(loss), scalar(weight), flat


@pytest.mark.parametrize("prefix", [0, 8, 50])
@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize(
    "shape", [{"kind": "qwen3"}, {"kind": "qwen3_moe"}, {"tie_word_embeddings": False}], ids=["tied", "experts", "head"]
)
def test_losses_and_gradients_are_the_whole_model_s(
    make_model: MakeModel, shape: dict[str, Any], num_layers: int, prefix: int, tmp_path: Path
) -> None:
    folder = make_model(**shape)
    model = adapted(folder, num_layers)
    data = with_prefix(prefix)
    split = split_of(model, folder, num_layers, data, tmp_path)
    assert split.arrays(data)[0].shape[1] <= max(len(row.tokens) for row in data) - prefix + 8
    loss, weight, gradient = loss_and_gradient(model, split, data)
    whole_loss, whole_weight, whole_gradient = loss_and_gradient(model, WholeForward(), data)
    assert weight == whole_weight
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert np.abs(gradient - whole_gradient).max() < 1e-4 * np.abs(whole_gradient).max()


def test_the_last_layer_runs_from_the_first_trained_position_to_the_last(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    data = rows(5)
    split = split_of(adapted(folder), folder, 2, data, tmp_path)
    hidden, queries, *_ = split.arrays(data)
    longest = max(int(row.trained.sum()) for row in data)
    assert longest <= queries.shape[1] < longest + 8
    assert queries.shape[1] < hidden.shape[1]


def test_small_micro_batches_of_an_update_are_joined(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    data = rows(6)
    split = split_of(adapted(folder), folder, 2, data, tmp_path)
    joined = split.groups([data[:2], data[2:4], data[4:]])
    assert [len(group) for group in joined] == [6]
    long = [Row(np.zeros(3000, np.int32), np.ones(3000, np.bool_))] * 3
    assert [len(group) for group in split.groups([long[:1], long[1:2], data])] == [1, 1, 6]
    assert [len(group) for group in WholeForward().groups([data[:2], data[2:]])] == [2, 4]
