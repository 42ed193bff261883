"""Chooses the forward pass of training: the split one, if it agrees with the whole model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_weights
from topcoat.engine.mlx.model.memory import hold, require_room
from topcoat.engine.mlx.numbers import difference, scalar
from topcoat.engine.mlx.ranks.group import ALONE, Ranks
from topcoat.engine.mlx.train.cut import Cut, LayerCall, Plan, drop_embedding, drop_weights, leaves_of, rebuilt
from topcoat.engine.mlx.train.forward import Forward, SplitForward, WholeForward
from topcoat.engine.mlx.train.head import logits_of
from topcoat.engine.mlx.train.loss import batch_arrays
from topcoat.engine.mlx.train.prefix import shared_prefix
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.protocol import Row
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.store.cache import ArrayCache

__all__ = ["choose_forward"]

TOLERANCE = 1e-4
"""The largest accepted difference of split and whole model, relative to the largest logit, with float32 states.

Rounding is below 1e-5 in most models. A missing scaling of the embedding, or a state that isn't passed on, makes 1e-1
and more. A mask that hides one token too many may make 1e-3, which rounding to 16 bits (1e-2 and more) would hide.
"""

ROUNDINGS = 5.0
"""Where rounding alone moves a model's logits by more than a fifth of `TOLERANCE`, this many times that is accepted.

Deep models amplify rounding: a random gemma 3 of 48 layers moves by 1.5e-4 if layers' outputs change in their last bit.
They amplify what is wrong as well.
"""

LARGEST = 1e-2
"""The largest difference that is accepted of any model."""

UNUSABLE = (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError)
"""What mlx-lm's models raise if they are called in a way that they don't know."""

COMPARED = 512
"""The most positions of a row that are compared: evenly apart, the first and the last one among them."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a model is cut: the layers' plan, the tokens that rows share, and whether layers are called by pieces."""

    plan: Plan
    prefix: Sequence[int]
    pieces: bool


def choose_forward(
    model: nn.Module,
    folder: Path,
    compute: Compute,
    rows: Sequence[Row],
    cache: ArrayCache,
    sink: Sink,
    *,
    dropout: float,
    recompute: bool,
    by: str,
    ranks: Ranks = ALONE,
) -> Forward:
    """A split forward over stored activations if it agrees with the whole model, else the whole.

    It compares the longest and the shortest row, because a sliding window hides nothing from a shorter row.

    `model` has new adapters (whose deltas are zero) and may not be in memory yet. If the forward is split, the weights
    of layers below the lowest adapter are removed from `model`. With `dropout` no prefix is shared, because a prefix
    that is computed once can't have random zeros for each row. With `recompute`, the backward pass computes what is
    inside of layers again. The ranks share the trunk's rows.
    """
    adapted = [index for index, layer in enumerate(model.layers) if adapter_weights(layer)]
    if sum(len(adapter_weights(model.layers[index])) for index in adapted) < len(adapter_weights(model)):
        return _whole(model, compute, recompute, sink, "adapters outside the layers: no trunk to compute once")
    model.eval()  # with dropout, any two passes would differ
    judge = _Judge(model, folder, compute, rows, cache, recompute)
    manners, missing = _manners(model, shared_prefix(rows) if dropout == 0.0 else [])
    problems: list[str] = []
    for manner in manners:
        trunk = partial(
            Trunk,
            folder,
            compute,
            adapted[0],
            manner.prefix,
            cache,
            computed_by=by,
            plan=manner.plan,
            pieces=manner.pieces,
        )
        problem = judge.problem(trunk, manner.pieces, sink)
        if not problem:
            return _split(model, compute, trunk(), manner, rows, recompute, sink, [*problems, *missing], ranks)
        problems.append(problem)
    return _whole(model, compute, recompute, sink, f"{[*problems, *missing][0]}: no trunk")


def _manners(model: nn.Module, prefix: Sequence[int]) -> tuple[list[_Manner], list[str]]:
    """The ways to cut a model, from the quickest on; and why some are missing."""
    manners: list[_Manner] = []
    missing: list[str] = []
    for caches in (True, False):
        try:
            plan = Plan.of(model, caches=caches)
        except UNUSABLE as error:
            missing.append(f"this model's forward can't be cut: {said(error)}")
            continue
        if caches:
            manners += [_Manner(plan, prefix, pieces=True), _Manner(plan, prefix, pieces=False)]
        else:
            manners.append(_Manner(plan, [], pieces=False))
    return manners, missing


def _split(
    model: nn.Module,
    compute: Compute,
    trunk: Trunk,
    manner: _Manner,
    rows: Sequence[Row],
    recompute: bool,
    sink: Sink,
    problems: Sequence[str],
    ranks: Ranks,
) -> SplitForward:
    """The split forward in a manner that agrees. What remains of the model is read into memory.

    `problems` say why quicker manners can't be used.
    """
    _drop_trunk(model, trunk)
    require_room(model, compute, training=True)  # raises before any time is spent on the trunk
    trunk.compute(rows, sink, ranks)
    hold(model, compute, training=True)
    told = f"trunk of {trunk.split} layers computed once a row, {len(model.layers) - trunk.split} trained on"
    if trunk.prefix:
        told += f"; a prefix of {counted(len(trunk.prefix), 'token')} shared by all {counted(len(rows), 'row')}"
    elif trunk.plan.stock is None and len(shared := shared_prefix(rows)):
        told += f"; the prefix of {counted(len(shared), 'token')} isn't shared: {problems[0]}"
    sink.emit(Note(told))
    return SplitForward(model, trunk, recompute=recompute, pieces=manner.pieces)


class _Judge:
    """Compares split forwards with the whole model, whose logits it computes once."""

    def __init__(
        self,
        model: nn.Module,
        folder: Path,
        compute: Compute,
        rows: Sequence[Row],
        cache: ArrayCache,
        recompute: bool,
    ) -> None:
        self._model, self._folder, self._compute, self._cache = model, folder, compute, cache
        self._recompute = recompute
        self._rows = _extremes(rows)
        self._theirs: dict[int, mx.array] = {}

    def problem(self, trunk_of: Callable[..., Trunk], pieces: bool, sink: Sink) -> str:
        """Why a split forward can't be used; "" if it can."""
        try:
            trunk = trunk_of()
            keys = [
                f"{trunk.key(row)}-agreement{'-recomputed' * self._recompute}{'-whole' * (not pieces)}"
                for row in self._rows
            ]
            known = [numbers for key in keys if (numbers := self._cache.get(key)) is not None]
            found = [(float(apart), float(accepted)) for apart, accepted in known]
            if len(found) < len(keys):
                exact = trunk_of(exact=True) if self._compute is Compute.AS_STORED else trunk
                exact.compute(self._rows, sink)
                with _in_float32(self._model):
                    split = SplitForward(self._model, exact, recompute=self._recompute, pieces=pieces)
                    differences = self._differences(split)
                found = [
                    (apart, self._accepted(row, apart)) for row, apart in zip(self._rows, differences, strict=True)
                ]
                for key, pair in zip(keys, found, strict=True):
                    self._cache.put(key, np.array(pair, np.float32))
        except UNUSABLE as error:
            return f"this model's forward can't be cut: {said(error)}"
        if all(apart <= accepted for apart, accepted in found):  # false for NaN
            return ""
        return f"split and whole model differ by {max(apart for apart, _ in found):.1e} of the largest logit"

    def _accepted(self, row: Row, apart: float) -> float:
        """The largest difference that may be rounding, if logits of a row are `apart`."""
        if not TOLERANCE < apart <= LARGEST:
            return TOLERANCE
        theirs = self._whole_logits(row)
        rounding = difference(self._computed(row, in_last_bit=True), theirs)
        return max(TOLERANCE, min(LARGEST, ROUNDINGS * rounding))

    def _differences(self, split: SplitForward) -> list[float]:
        """For each row, the largest difference of a logit at trained positions, relative to the largest, in float32.

        Rows are computed together if training may join them. They are three then, because an error in a batch of two
        may go unseen where something else is two, such as the heads of keys. They are compared once more at their last
        trained position alone, because where the last layer is called for few positions, other values may not fit.
        """
        theirs = [self._whole_logits(row) for row in self._rows]
        differences = [0.0] * len(self._rows)
        order = [*range(len(self._rows)), len(self._rows) - 1]
        for rows in (self._rows, [_last_trained(row) for row in self._rows]):
            numbers = iter(order)
            for group in split.groups([[rows[number]] for number in order]):
                tokens, queries, chosen, _, _, *values = split.arrays(group)
                begin = 0
                for row in group:
                    number, count = next(numbers), len(_places(row))
                    places = mx.array(begin + _compared(count))
                    begin += count
                    ours = split.logits(tokens, queries, chosen[places], values).astype(mx.float32)
                    own = theirs[number][-len(ours) :]
                    apart = difference(ours, own, theirs[number])
                    differences[number] = float(np.maximum(differences[number], apart))  # NaN stays NaN
        return differences

    def _whole_logits(self, row: Row) -> mx.array:
        """The whole model's logits (places, vocabulary) at compared positions of a row, in float32, computed once."""
        if id(row) not in self._theirs:
            self._theirs[id(row)] = self._computed(row)
        return self._theirs[id(row)]

    def _computed(self, row: Row, *, in_last_bit: bool = False) -> mx.array:
        """The same, computed; with every layer's output changed by chance `in_last_bit` to see what rounding does.

        The model runs layer by layer. Each layer's weights are read when they are needed and dropped afterwards. After
        the last one, it goes on with the states at these places, because the logits of a long row may not fit.
        """
        whole = load(self._folder, self._compute, lazy=True, held=0).model
        whole.set_dtype(mx.float32)
        plan = Plan.of(whole, caches=False)
        cut = Cut(whole, plan)
        last = len(cut.layers) - 1
        places = mx.array(_places(row)[_compared(len(_places(row)))])

        def station(call: LayerCall) -> Any:
            output = call()
            if in_last_bit:
                states, *others = leaves_of(output)
                output = rebuilt(output, chain([_nudged(states, call.index)], others))
            mx.eval([value for value in leaves_of(output) if isinstance(value, mx.array)])
            drop_weights(call.layer)
            if call.index < last:
                return output
            states = plan.last.restored(plan.last.flat(leaves_of(output)[0])[:, places])
            return rebuilt(output, chain([states], leaves_of(output)[1:]))

        tokens, _ = batch_arrays([row])
        logits: mx.array = cut.run(tokens[:, :-1], station)[0].astype(mx.float32)
        mx.eval(logits)
        return logits


def _nudged(states: mx.array, seed: int) -> mx.array:
    """Float32 states of which half, by chance, are a unit of the last place larger."""
    larger = mx.random.bernoulli(0.5, states.shape, key=mx.random.key(seed))
    return states * mx.where(larger, 1 + 2.0**-23, 1.0)


def _places(row: Row) -> NDArray[np.integer]:
    """The positions whose prediction is trained."""
    return np.flatnonzero(row.trained[1:] * row.weight)


def _compared(count: int) -> NDArray[np.integer]:
    """Which of `count` positions are compared."""
    return np.unique(np.linspace(0, count - 1, COMPARED).round().astype(np.int32))


def _last_trained(row: Row) -> Row:
    """The row with its last trained position alone."""
    return Row(row.tokens, np.arange(len(row.tokens)) == 1 + _places(row)[-1], row.weight)


def said(error: Exception) -> str:
    """An error's first line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _extremes(rows: Sequence[Row]) -> list[Row]:
    """The longest and the shortest of the rows that train something; one row if there is no other."""
    trained = sorted((row for row in rows if row.weight and row.trained[1:].any()), key=lambda row: len(row.tokens))
    return [trained[-1]] if len(trained) == 1 else [trained[-1], trained[0]]


def _whole(model: nn.Module, compute: Compute, recompute: bool, sink: Sink, why: str) -> WholeForward:
    hold(model, compute, training=True)
    sink.emit(Note(why))
    return WholeForward(recompute=recompute, by_chunks=recompute and _head_stands_alone(model))


def _head_stands_alone(model: nn.Module) -> bool:
    """Whether the model's logits follow from its inner model's states alone, and nothing but its layers is trained."""
    if not all(name.startswith("model.layers.") for name in adapter_weights(model)):
        return False
    training = model.training
    model.eval()
    tokens = mx.arange(1, 9)[None]
    try:
        theirs = model(tokens)[0].astype(mx.float32)
        ours = logits_of(model, model.model(tokens)[0]).astype(mx.float32)
        return scalar(mx.abs(ours - theirs).max()) <= TOLERANCE * scalar(mx.abs(theirs).max())
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        return False
    finally:
        model.train(training)


def _drop_trunk(model: nn.Module, trunk: Trunk) -> None:
    """Remove the weights of the layers below the split, and an embedding that nothing else needs."""
    for layer in list(model.layers)[: trunk.split]:
        drop_weights(layer)
    if trunk.split:
        drop_embedding(Cut(model, trunk.plan), trunk.split)


@contextmanager
def _in_float32(model: nn.Module) -> Iterator[None]:
    """Make the model's states and its unpacked weights float32 during the `with` block."""
    as_loaded = model.parameters()
    model.set_dtype(mx.float32)
    try:
        yield
    finally:
        model.update(as_loaded)
