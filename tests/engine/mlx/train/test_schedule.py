import pytest

from topcoat.engine.mlx.train.schedule import learning_rate
from topcoat.spec.phase import TrainSpec


def test_constant_rate_stays() -> None:
    spec = TrainSpec(iters=40, grad_accumulation_steps=4)
    assert [learning_rate(spec, 1e-3, update, 10) for update in (1, 5, 10)] == [1e-3] * 3


def test_warmup_rises_in_equal_steps_to_the_peak() -> None:
    spec = TrainSpec(iters=10, grad_accumulation_steps=1, warmup=4)
    rates = [learning_rate(spec, 1.0, update, 10) for update in range(1, 6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_cosine_is_at_half_the_peak_half_way() -> None:
    spec = TrainSpec(iters=100, grad_accumulation_steps=1, schedule="cosine")
    assert learning_rate(spec, 2.0, 1, 100) == 2.0
    assert learning_rate(spec, 2.0, 51, 100) == pytest.approx(1.0)
    assert learning_rate(spec, 2.0, 100, 100) < 0.001


def test_linear_falls_by_the_same_amount_each_update() -> None:
    spec = TrainSpec(iters=5, grad_accumulation_steps=1, schedule="linear")
    assert [learning_rate(spec, 1.0, u, 5) for u in range(1, 6)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
