from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.lora import LoRALinear

from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows, with_prefix
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu.quicken import on_cpu, quick
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_weights, attach
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train import forward as forward_module
from topcoat.engine.mlx.train import head, recompute
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


def split_of(
    model: nn.Module, folder: Path, num_layers: int, data: Sequence[Row], cache: Path, *, recompute: bool = False
) -> SplitForward:
    trunk = Trunk(
        folder, Compute.DEQUANTIZED, 4 - num_layers, shared_prefix(data), ArrayCache(cache), computed_by="test"
    )
    trunk.compute(data, Silent())
    return SplitForward(model, trunk, recompute=recompute)


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


@pytest.mark.parametrize("prefix", [0, 50])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize(
    "shape",
    [{"bits": None}, {"kind": "qwen3_moe", "bits": None}, {"kind": "llama", "tie_word_embeddings": False}],
    ids=["tied", "experts", "head"],
)
def test_recomputing_changes_neither_losses_nor_gradients(
    make_model: MakeModel,
    shape: dict[str, Any],
    num_layers: int,
    prefix: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recompute, "PIECE", 16)  # several pieces a row
    folder = make_model(**shape)
    model = adapted(folder, num_layers)
    data = with_prefix(prefix)
    kept = split_of(model, folder, num_layers, data, tmp_path)
    again = split_of(model, folder, num_layers, data, tmp_path, recompute=True)
    assert kept.arrays(data)[0].shape[1] > 2 * 16
    pairs: list[tuple[Forward, Forward]] = [(kept, again), (WholeForward(), WholeForward(recompute=True))]
    for one, other in pairs:
        loss, weight, gradient = loss_and_gradient(model, one, data)
        other_loss, other_weight, other_gradient = loss_and_gradient(model, other, data)
        assert other_weight == weight
        assert other_loss == pytest.approx(loss, rel=1e-6)
        assert np.abs(other_gradient - gradient).max() < 1e-6 * np.abs(gradient).max()
    assert type(model.layers[-1]).__call__.__name__ == "__call__"  # the layers' classes are what they were


@pytest.mark.parametrize("prefix", [0, 50])
def test_a_last_layer_by_pieces_changes_nothing(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: int
) -> None:
    monkeypatch.setattr(recompute, "PIECE", 16)
    folder, data = make_model(bits=None), with_prefix(prefix)
    model = adapted(folder)
    split = split_of(model, folder, 2, data, tmp_path)
    loss, _, gradient = loss_and_gradient(model, split, data)
    pieces = Mock(side_effect=recompute.at_positions)
    monkeypatch.setattr(forward_module, "at_positions", pieces)
    monkeypatch.setattr(forward_module, "SCORES", 1)
    other_loss, _, other_gradient = loss_and_gradient(model, split, data)
    pieces.assert_called_once()
    assert other_loss == pytest.approx(loss, rel=1e-6)
    assert np.abs(other_gradient - gradient).max() < 1e-6 * np.abs(gradient).max()


@pytest.mark.parametrize("kind", ["qwen3", "gemma", "olmo2"])
def test_the_whole_model_s_logits_by_chunks_change_nothing(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(head, "CHUNK", 16)
    model, data = adapted(make_model(kind, bits=None)), rows(4)
    loss, weight, gradient = loss_and_gradient(model, WholeForward(recompute=True), data)
    chunked = WholeForward(recompute=True, by_chunks=True)
    other_loss, other_weight, other_gradient = loss_and_gradient(model, chunked, data)
    assert other_weight == weight
    assert other_loss == pytest.approx(loss, rel=1e-6)
    assert np.abs(other_gradient - gradient).max() < 1e-6 * np.abs(gradient).max()


@pytest.mark.skipif(not on_cpu(), reason="attention's memory on a GPU is MLX's own")
@pytest.mark.parametrize("again", [False, True])
def test_memory_grows_with_the_row_and_not_with_its_square(make_model: MakeModel, tmp_path: Path, again: bool) -> None:
    """Three times the tokens take at most 3.6 times the memory; all scores would take nine times as much."""
    folder = make_model(bits=None)
    model, peaks = adapted(folder), []
    with quick():
        for length in (512, 1536):
            row = Row(np.arange(length, dtype=np.int32) % 1000, np.arange(length) % 4 == 3)
            data = [row, Row(row.tokens[::-1].copy(), row.trained)]
            split = split_of(model, folder, 2, data, tmp_path / str(length), recompute=again)
            arrays = split.arrays(data[:1])
            mx.eval(model.parameters(), arrays)
            before = mx.get_active_memory()
            mx.reset_peak_memory()
            mx.eval(nn.value_and_grad(model, split.loss)(model, *arrays))
            peaks.append(mx.get_peak_memory() - before)
    assert peaks[1] < 3.6 * peaks[0]


def test_pieces_take_no_more_memory_in_a_longer_row() -> None:
    sizes = [recompute.piece_of(keys) for keys in (1, 300, 2048, 4096, 8192, 16_384, 10**6)]
    assert sizes == [256, 256, 256, 128, 64, 32, 32]


@pytest.mark.parametrize("whole", [False, True])
def test_recomputing_draws_what_dropout_drew(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """The gradient is that of the loss with the zeros that were drawn: a small step changes the loss as it says."""
    monkeypatch.setattr(recompute, "PIECE", 16)
    folder, data = make_model(bits=None), rows(4)
    model = adapted(folder, 3)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            module.dropout = nn.Dropout(0.4)
    model.train()
    split = split_of(model, folder, 3, data, tmp_path, recompute=True)
    forward: Forward = WholeForward(recompute=True) if whole else split
    arrays = forward.arrays(data)

    def loss_at(weights: dict[str, mx.array]) -> float:
        model.load_weights(list(weights.items()), strict=False)
        mx.random.seed(3)
        return scalar(forward.loss(model, *arrays)[0])

    here = adapter_weights(model)
    mx.random.seed(3)
    _, gradient = nn.value_and_grad(model, forward.loss)(model, *arrays)
    slopes = dict(tree_flatten(gradient))
    norm = mx.sqrt(sum(slope.square().sum() for slope in slopes.values()))
    step = 2e-3
    up, down = (loss_at({n: w + sign * step * slopes[n] / norm for n, w in here.items()}) for sign in (1, -1))
    assert (up - down) / (2 * step) == pytest.approx(scalar(norm), rel=1e-2)
