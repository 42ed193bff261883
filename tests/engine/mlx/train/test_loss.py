import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.utils import load_model

from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.train.loss import batch_arrays, weighted_loss
from topcoat.engine.protocol import Row


@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_loss_equals_mlx_lm_on_the_same_tokens(make_model: MakeModel, kind: str) -> None:
    folder = make_model(kind)
    batch = rows(4)
    tokens, weights = batch_arrays(batch)
    loss, weight = weighted_loss(load(folder, Compute.DEQUANTIZED).model, tokens, weights)

    stock, _ = load_model(folder)
    # mlx-lm's mask is inclusive on both ends, counted from 1: offset 0-based, last token 0-based.
    lengths = mx.array([[len(row.tokens) // 2, len(row.tokens) - 1] for row in batch])
    expected, count = default_loss(stock, tokens, lengths)
    assert weight.item() == count.item() == sum(len(r.tokens) - len(r.tokens) // 2 for r in batch)
    assert (loss / weight).item() == pytest.approx(expected.item(), rel=2e-3)


def test_padding_changes_nothing(make_model: MakeModel) -> None:
    model = load(make_model(), Compute.DEQUANTIZED).model
    short, long = sorted(rows(8), key=lambda row: len(row.tokens))[::7]
    alone, _ = weighted_loss(model, *batch_arrays([short]))
    beside, _ = weighted_loss(model, *batch_arrays([short, long]))
    other, _ = weighted_loss(model, *batch_arrays([long]))
    assert beside.item() == pytest.approx(alone.item() + other.item(), rel=1e-5)


def test_no_pad_token_is_trained() -> None:
    batch = rows(3)
    _, weights = batch_arrays(batch)
    for row, weight in zip(batch, np.array(weights), strict=True):
        assert weight[len(row.tokens) - 1 :].sum() == 0
        assert weight.sum() == row.trained[1:].sum()


def test_a_row_s_weight_multiplies_its_loss(make_model: MakeModel) -> None:
    model = load(make_model(), Compute.DEQUANTIZED).model
    (row,) = rows(1)
    heavy = Row(row.tokens, row.trained, weight=2.5)
    single, one = weighted_loss(model, *batch_arrays([row]))
    weighted, two = weighted_loss(model, *batch_arrays([heavy]))
    assert weighted.item() == pytest.approx(2.5 * single.item(), rel=1e-5)
    assert two.item() == pytest.approx(2.5 * one.item())
