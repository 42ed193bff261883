from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from topcoat.engine.mlx.verify import figures as module
from topcoat.engine.mlx.verify.figures import in_mlx, in_numpy, say
from topcoat.engine.mlx.verify.rows import Row
from topcoat.engine.references import Reference

RIGHT = [[3], [0, 5], [7], [1, 2, 6]]


def logits(seed: int, scale: float = 3.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, scale, (4, 9)).astype(np.float32)


def shares(table: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = np.exp(table.astype(np.float64))
    return wide / wide.sum(-1, keepdims=True)


@pytest.mark.parametrize("compute", [in_mlx, in_numpy])
@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_their_definitions(compute: object, seed: int) -> None:
    model, base = logits(seed), logits(seed + 50)
    as_given = [mx.array(model), mx.array(base)] if compute is in_mlx else [model.copy(), base.copy()]
    gaps, ours, theirs, kl = compute(as_given, RIGHT)  # type: ignore[operator]
    for row, tokens in enumerate(RIGHT):
        others = [token for token in range(9) if token not in tokens]
        expected = (model[row, tokens].max() - model[row, others].max()) / np.abs(model[row]).max()
        assert gaps[row] == pytest.approx(expected, abs=5e-6)
        assert ours[row] == pytest.approx(np.log(shares(model)[row, tokens].sum()), abs=5e-6)
        assert theirs[row] == pytest.approx(np.log(shares(base)[row, tokens].sum()), abs=5e-6)
        p, q = shares(base)[row], shares(model)[row]
        assert kl[row] == pytest.approx((p * np.log(p / q)).sum(), abs=5e-6)
    assert len(compute(as_given[:1], RIGHT)) == 2  # type: ignore[operator]


@pytest.mark.parametrize("compute", [in_mlx, in_numpy])
def test_tokens_that_both_models_never_give_change_no_figure(compute: object) -> None:
    """As phi3small's, whose forward gives -inf to the tokens that its tokenizer lacks."""
    model, base = logits(1), logits(51)
    none = np.full((4, 2), -np.inf, np.float32)
    wide = [np.concatenate([table, none], axis=1) for table in (model, base)]
    in_mx = compute is in_mlx
    expected, found = (
        compute([mx.array(table) if in_mx else table.copy() for table in tables], RIGHT)  # type: ignore[operator]
        for tables in ([model, base], wide)
    )
    assert np.isfinite(expected).all()
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("compute", [in_mlx, in_numpy])
def test_a_token_that_the_model_alone_never_gives_is_an_infinite_divergence(compute: object) -> None:
    model, base = logits(1), logits(51)
    model[2, 8] = -np.inf
    given = [mx.array(one) if compute is in_mlx else one.copy() for one in (model, base)]
    assert np.isinf(compute(given, RIGHT)[3]).tolist() == [False, False, True, False]  # type: ignore[operator]


def test_a_small_divergence_is_not_lost_in_rounding() -> None:
    base = logits(1)
    model = base + np.float32(1e-3) * logits(2, 1.0)
    p, q = shares(base), shares(model)
    expected = (p * np.log(p / q)).sum(-1)
    assert (expected < 2e-6).all()
    assert in_numpy([model.copy(), base.copy()], RIGHT)[3] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize(
    ("dtype", "gap", "unsure"),
    [(mx.float32, 1e-3, False), (mx.float32, 1e-5, True), (mx.bfloat16, 1.0, False), (mx.bfloat16, 0.0625, True)],
)
def test_a_gap_that_rounding_can_make_is_unsure(
    monkeypatch: pytest.MonkeyPatch, dtype: mx.Dtype, gap: float, unsure: bool, on_cpu: bool
) -> None:
    monkeypatch.setattr(module, "on_cpu", lambda: on_cpu)
    row = Row([5], 4, Reference((1,), stopped=False, open=False))
    say([(row, 0)], [mx.array([[0.0, 8.0 + gap, 8.0, -3.0]]).astype(dtype)], [3])
    assert row.unsure == (0 if unsure else None)
    assert row.kl == row.base_logprobs == []


def test_the_end_is_any_stop_token_and_another_token_is_a_difference(tmp_path: Path) -> None:
    row = Row([5], 4, Reference((1,), stopped=True, open=False))
    table = mx.array([[0.0, 8.0, 1.0, 1.0], [0.0, 1.0, 8.0, 8.0]])
    say([(row, 0), (row, 1)], [table], [2, 3])
    assert row.unsure is None
    assert row.logprobs[1] == pytest.approx(np.log(shares(np.array(table))[1, 2:].sum()), abs=1e-6)
    other = Row([5], 4, Reference((2,), stopped=True, open=False))
    say([(other, 0), (other, 1)], [table], [0])
    assert other.unsure == 0
