from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import pytest

from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train import head
from topcoat.engine.mlx.train.head import CHUNK, head_loss


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("positions", [1, CHUNK, 2 * CHUNK + 3])
def test_chunks_give_the_loss_and_the_gradient_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, positions: int, on_cpu: bool
) -> None:
    monkeypatch.setattr(head, "on_cpu", lambda: on_cpu)
    mx.random.seed(positions)
    weight = mx.random.normal((500, 32))
    hidden, targets = mx.random.normal((positions, 32)), mx.random.randint(0, 500, (positions,))
    weights = mx.random.uniform(shape=(positions,))

    def project(states: mx.array) -> mx.array:
        return states @ weight.T

    def whole(states: mx.array) -> mx.array:
        return (nn.losses.cross_entropy(project(3 * states), targets) * weights).sum()

    expected, expected_gradient = mx.value_and_grad(whole)(hidden)
    loss, gradient = mx.value_and_grad(lambda states: head_loss(project, 3 * states, targets, weights))(hidden)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert scalar(mx.abs(gradient - expected_gradient).max()) < 1e-4
    assert head_loss(project, 3 * hidden, targets, weights).item() == pytest.approx(expected.item(), rel=1e-5)
