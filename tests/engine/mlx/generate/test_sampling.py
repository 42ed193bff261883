from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest
from scipy.stats import chisquare  # type: ignore[import-untyped]  # scipy ships no types

from topcoat.engine.mlx.generate.sampling import draw
from topcoat.engine.protocol import Sampling


def drawn(logits: mx.array, sampling: Sequence[Sampling], position: int) -> list[int]:
    return [int(token) for token in np.array(draw(logits, sampling, [position] * len(sampling)))]


def test_at_temperature_0_the_most_probable_token_is_drawn() -> None:
    logits = mx.array([[0.0, 3.0, 1.0], [2.0, 1.0, 0.0]])
    assert drawn(logits, [Sampling()] * 2, 0) == [1, 0]
    assert drawn(logits, [Sampling(0.0, 7), Sampling(0.0, 8)], 5) == [1, 0]
    assert [drawn(logits, [Sampling(), Sampling(2.0, seed)], 0)[0] for seed in range(20)] == [1] * 20


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_the_probabilities_of_the_softmax(temperature: float) -> None:
    logits, count = np.array([0.0, 0.5, 1.0, -1.0]), 4000
    tokens = drawn(mx.array([logits.tolist()] * count), [Sampling(temperature, seed) for seed in range(count)], 3)
    expected = np.exp(logits / temperature)
    observed = np.bincount(tokens, minlength=4)
    assert chisquare(observed, count * expected / expected.sum()).pvalue > 1e-3


def test_a_row_is_drawn_alike_alone_and_beside_others() -> None:
    logits = mx.random.normal((40, 500), key=mx.random.key(1))
    sampling = [Sampling(1.0, seed) for seed in range(40)]
    together = drawn(logits, sampling, 2)
    assert [drawn(logits[i : i + 1], sampling[i : i + 1], 2)[0] for i in range(40)] == together
    assert drawn(logits, sampling, 3) != together


def test_seeds_and_positions_are_not_mixed_up() -> None:
    flat = mx.zeros((1, 10**6))
    tokens = {
        drawn(flat, [Sampling(1.0, seed)], position)[0] for seed in (0, 1, 2**31 - 1) for position in (0, 1, 8191)
    }
    assert len(tokens) == 9


def test_nothing_of_the_global_random_state_is_used() -> None:
    mx.random.seed(3)
    untouched = mx.random.uniform().item()
    mx.random.seed(3)
    draw(mx.zeros((1, 10)), [Sampling(1.0, 1)], [0])
    assert mx.random.uniform().item() == untouched


def test_rows_at_different_places_draw_what_each_draws_alone() -> None:
    logits = mx.broadcast_to(mx.zeros((1, 50)), (3, 50))
    sampling = [Sampling(1.0, 1), Sampling(1.0, 1), Sampling(0.7, 2)]
    together = [int(token) for token in np.array(draw(logits, sampling, [4, 0, 9]))]
    alone = [drawn(logits[:1], [one], place)[0] for one, place in zip(sampling, [4, 0, 9], strict=True)]
    assert together == alone
    assert together[0] != together[1]
