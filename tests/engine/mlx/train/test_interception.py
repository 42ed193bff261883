from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import pytest

from topcoat.engine.mlx.train.head import logits_of
from topcoat.engine.mlx.train.interception import Call, intercepted
from topcoat.engine.mlx.train.recompute import recomputing


class Doubling(nn.Module):
    def __call__(self, x: int, *, more: int = 0) -> int:
        return 2 * x + more


class Inheriting(Doubling):
    """A layer whose class has no `__call__` of its own."""


class Extending(Doubling):
    """A layer whose own call goes through that of its base class."""

    def __call__(self, x: int, *, more: int = 0) -> int:
        return 100 + super().__call__(x, more=more)


KINDS = (Doubling, Inheriting, Extending)


def own_calls() -> list[object]:
    """What each class itself holds under `__call__`."""
    return [vars(kind).get("__call__") for kind in KINDS]


def test_calls_of_the_chosen_modules_are_answered_with_their_place_and_all_they_are_given() -> None:
    first, second, other = Doubling(), Extending(), Doubling()
    seen: list[Call] = []

    def answer(call: Call) -> int:
        seen.append(call)
        return -1 - call.index

    with intercepted([first, second], answer):
        assert [first(1), second(2, more=3), other(4)] == [-1, -2, 8]
    assert [(call.module, call.given, dict(call.named)) for call in seen] == [
        (first, (1,), {}),
        (second, (2,), {"more": 3}),
    ]
    assert [call.function(call.module, 5) for call in seen] == [10, 110]


def test_a_call_that_goes_through_its_base_class_is_one_call() -> None:
    modules = [Doubling(), Inheriting(), Extending()]
    places: list[int] = []

    def answer(call: Call) -> int:
        places.append(call.index)
        return int(call.function(call.module, *call.given, **call.named))

    with intercepted(modules, answer):
        assert [module(1) for module in modules] == [2, 2, 102]
    assert places == [0, 1, 2]


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_each_class_has_exactly_what_it_had(fails: bool) -> None:
    before = own_calls()
    assert before[1] is None
    try:
        with intercepted([kind() for kind in KINDS], lambda call: call.index):
            assert None not in own_calls()
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert own_calls() == before


def test_one_interception_within_another_gives_back_the_outer_one() -> None:
    module, before = Inheriting(), own_calls()
    with intercepted([module], lambda _: -1):
        with intercepted([module], lambda _: -2):
            assert module(1) == -2
        assert module(1) == -1
    assert own_calls() == before


def test_recomputing_layers_leaves_a_class_that_inherits_its_call_without_one() -> None:
    class Layer(nn.Module):
        def __call__(self, x: mx.array) -> mx.array:
            return x + 1

    class Same(Layer):
        pass

    with recomputing([Same()]):
        assert "__call__" in vars(Same)
    assert "__call__" not in vars(Same)


def test_logits_leave_an_inner_model_that_inherits_its_call_without_one() -> None:
    class Inner(nn.Module):
        def __call__(self, tokens: mx.array) -> mx.array:
            return mx.zeros((*tokens.shape, 2))

    class Inheriting(Inner):
        pass

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = Inheriting()

        def __call__(self, tokens: mx.array) -> mx.array:
            return 3 * self.model(tokens)

    assert logits_of(Model(), mx.ones((4, 2))).tolist() == [[3.0, 3.0]] * 4
    assert "__call__" not in vars(Inheriting)
