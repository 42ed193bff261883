from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.support.mlx.cut_kinds import CUT_KINDS, LOOPED
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import with_prefix
from tests.support.recorder import Recorder
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_weights, attach
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train.agreement import choose_forward
from topcoat.engine.mlx.train.cut import Axes, Cut, LayerCall, Plan, stop
from topcoat.engine.mlx.train.forward import Forward, SplitForward, WholeForward
from topcoat.engine.mlx.train.prefix import AfterPrefix
from topcoat.progress import Note
from topcoat.spec.phase import TrainSpec
from topcoat.store.cache import ArrayCache

SHARED = 24


def model_of(make_model: MakeModel, kind: str, **shape: object) -> Path:
    return make_model(kind, bits=None, **{**CUT_KINDS.get(kind, {}), **shape})


def adapted(folder: Path) -> nn.Module:
    model = load(folder, Compute.DEQUANTIZED).model
    mx.random.seed(0)
    attach(model, TrainSpec(num_layers=2))
    return model


def chosen(model: nn.Module, folder: Path, cache: Path, *, recompute: bool = False) -> tuple[Forward, str]:
    sink = Recorder()
    forward = choose_forward(
        model,
        folder,
        Compute.DEQUANTIZED,
        with_prefix(SHARED),
        ArrayCache(cache),
        sink,
        dropout=0.0,
        recompute=recompute,
        by="test",
    )
    return forward, "; ".join(event.text for event in sink.events if isinstance(event, Note))


def moved(model: nn.Module) -> None:
    """Give the adapters deltas that aren't zero, the same for every model."""
    mx.random.seed(1)
    noise = {name: value + 0.02 * mx.random.normal(value.shape) for name, value in adapter_weights(model).items()}
    model.load_weights(list(noise.items()), strict=False)
    model.train()


def loss_and_gradient(model: nn.Module, forward: Forward) -> tuple[float, dict[str, np.ndarray]]:
    data = with_prefix(SHARED)
    (loss, _), gradient = nn.value_and_grad(model, forward.loss)(model, *forward.arrays(data))
    return scalar(loss), {name: np.array(value) for name, value in tree_flatten(gradient)}


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_every_family_has_a_trunk_and_the_whole_model_s_losses_and_gradients(
    make_model: MakeModel, tmp_path: Path, kind: str
) -> None:
    folder = model_of(make_model, kind)
    whole, model = adapted(folder), adapted(folder)
    forward, said = chosen(model, folder, tmp_path)
    assert isinstance(forward, SplitForward), said
    assert said == (
        f"trunk of 2 layers computed once a row, 2 trained on; a prefix of {SHARED} tokens shared by all 5 rows"
    )
    lower = [value for layer in model.layers[:2] for _, value in tree_flatten(layer.parameters())]
    assert not lower
    for one in (whole, model):
        moved(one)
    expected, of_whole = loss_and_gradient(whole, WholeForward())
    loss, gradient = loss_and_gradient(model, forward)
    assert loss == pytest.approx(expected, rel=2e-6)
    largest = max(np.abs(value).max() for value in of_whole.values())
    assert largest > 1e-3
    assert max(np.abs(gradient[name] - value).max() for name, value in of_whole.items()) < 1e-4 * largest


@pytest.mark.parametrize("kind", ["gemma3", "gemma4", "qwen3_5", "lfm2", "hunyuan"])
def test_recomputing_changes_nothing_in_any_family(make_model: MakeModel, tmp_path: Path, kind: str) -> None:
    folder = model_of(make_model, kind)
    found = []
    for recompute in (False, True):
        model = adapted(folder)
        forward, _ = chosen(model, folder, tmp_path, recompute=recompute)
        assert isinstance(forward, SplitForward)
        moved(model)
        found.append(loss_and_gradient(model, forward))
    (loss, gradient), (other_loss, other) = found
    assert other_loss == pytest.approx(loss, rel=1e-6)
    largest = max(np.abs(value).max() for value in gradient.values())
    assert max(np.abs(other[name] - value).max() for name, value in gradient.items()) < 1e-5 * largest


def test_layers_that_are_called_twice_are_computed_whole_and_the_reason_is_said(
    make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model("nanbeige", bits=None, **LOOPED)
    forward, said = chosen(adapted(folder), folder, tmp_path)
    assert isinstance(forward, WholeForward)
    assert said == "this model's forward can't be cut: its forward calls a layer 2 times: no trunk"


@pytest.mark.parametrize("kind", ["olmo3", "gemma3"])
def test_a_mask_without_its_window_is_noticed(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The whole model has no caches, so only the split forward is wrong. Without caches it is right again."""
    right = AfterPrefix.make_mask

    def blind(self: AfterPrefix, length: int, return_array: bool = False, window_size: int | None = None) -> Any:
        return right(self, length, return_array)

    monkeypatch.setattr(AfterPrefix, "make_mask", blind)
    folder = model_of(make_model, kind, sliding_window=16, layer_types=["sliding_attention", "full_attention"] * 2)
    forward, said = chosen(adapted(folder), folder, tmp_path)
    assert isinstance(forward, SplitForward)
    assert f"the prefix of {SHARED} tokens isn't shared: split and whole model differ by" in said


def test_a_stock_forward_goes_on_from_what_its_lower_layers_returned(make_model: MakeModel) -> None:
    model = load(model_of(make_model, "gemma4"), Compute.DEQUANTIZED).model
    plan = Plan.of(model, caches=False)
    assert plan.crossing(3) == [(1, 1), (1, 2), (2, 0)]  # the last layer attends to the keys of the second one
    cut, tokens = Cut(model, plan), mx.array([[5, 6, 7, 8, 9]])
    returned: list[Any] = []

    def looked_on(call: LayerCall) -> Any:
        returned.append(call())
        return returned[-1]

    expected = cut.run(tokens, looked_on)
    assert mx.allclose(expected, model(tokens), rtol=1e-6, atol=1e-6)
    (_, (keys, values), _), (states, _, _) = returned[1], returned[2]
    called: list[int] = []

    def upper(call: LayerCall) -> Any:
        called.append(call.index)
        return call()

    found = cut.run(tokens, upper, split=3, values={(1, 1): keys, (1, 2): values, (2, 0): states})
    assert called == [3]
    assert mx.allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert mx.allclose(cut.head(returned[3][0][0]), expected[0], rtol=1e-5, atol=1e-5)


def test_a_forward_that_is_stopped_leaves_the_layers_as_they_were(make_model: MakeModel) -> None:
    model = load(model_of(make_model, "qwen3"), Compute.DEQUANTIZED).model
    kind = type(model.layers[0])
    before = kind.__call__
    assert Cut(model, Plan.of(model)).run(mx.array([[5, 6]]), lambda call: stop(call.index)) == 0
    assert kind.__call__ is before


def test_axes_bring_rows_and_positions_to_the_front_and_back() -> None:
    array = mx.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    axes = Axes(1, 2)
    assert axes.flat(array).shape == (3, 4, 2, 5)
    assert mx.array_equal(axes.restored(axes.flat(array)), array)
