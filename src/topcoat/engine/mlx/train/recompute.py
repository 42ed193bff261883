"""Computes layers without keeping what is inside of them: the backward pass computes it again, piece by piece.

Training keeps every layer's inner states for the backward pass, and attention's scores grow with the square of a row.
Here a layer keeps its input, its keys and its values. Its output is computed for a few hundred positions at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train.cut import LayerCall, leaves_of, rebuilt, taken
from topcoat.engine.mlx.train.interception import Call, intercepted
from topcoat.engine.mlx.train.prefix import AfterPrefix, ChosenQueries, KeysAndValues, Masks, contents_of

__all__ = [
    "PIECE",
    "SCORES",
    "at_positions",
    "keys_and_values",
    "piece_of",
    "recomputed",
    "recomputing",
    "seen_from",
]

PIECE = 256
"""The most positions whose inner states exist at the same time."""

SCORES = 1 << 19
"""The most scores of a head that exist at the same time: positions times the keys that they see."""


def piece_of(keys: int) -> int:
    """The positions that are computed together if there are `keys` keys: at most `PIECE`, so many that their scores
    take no more memory in a longer row, and at least 32, because many short operations cost more than one.
    """
    return min(PIECE, max(32, SCORES // keys))


def keys_and_values(call: LayerCall) -> KeysAndValues:
    """The keys and values of what `call` gives its layer, behind those of its cache's prefix. Its cache holds them too.

    Raises ValueError if the layer isn't seen to attend.
    """
    if call.stream is None or not isinstance(call.cache, AfterPrefix):
        raise ValueError("a layer isn't given the states and a cache of keys and values")
    stream = call.stream

    def inner(hidden: mx.array, before: KeysAndValues | None) -> KeysAndValues:
        cache = call.cache.behind(before)
        # MLX is lazy: nothing is computed but what the cache keeps.
        call.replaced({id(stream): hidden, id(call.cache): cache})
        return cache.keys, cache.values

    known = cast(KeysAndValues, _recomputed(call.layer, inner)(call.stream, call.cache.before))
    call.cache.hold(known)
    return known


def at_positions(call: LayerCall, masks: Masks, positions: mx.array, known: KeysAndValues) -> mx.array:
    """A layer's output (rows, n, width) at `positions` (rows, n) of the states it is given, which follow each other.

    `known` are all keys and values, those of a prefix first.
    """
    hidden, layer = cast(mx.array, call.stream), call.layer
    run, window = call.narrowed(masks)
    prefix = known[0].shape[2] - hidden.shape[1]
    # Later keys than those of a piece's last position are seen by none of its queries: half of all scores.
    begin = prefix + int(scalar(positions[:, 0].max()))

    def inner(few: mx.array, keys: mx.array, values: mx.array, at: mx.array, start: int) -> mx.array:
        end = begin + start + few.shape[1]
        seen = seen_from(at + prefix, min(end, keys.shape[2]), window)
        cache = ChosenQueries((keys[:, :, :end], values[:, :, :end]), at[:, 0] + prefix)
        return run(few, at, seen, cache)

    trained = cast(list[tuple[str, mx.array]], tree_flatten(layer.trainable_parameters()))
    names, weights = [name for name, _ in trained], [weight for _, weight in trained]
    drawn = _random_state()

    def piece(
        start: int, few: mx.array, at: mx.array, keys: mx.array, values: mx.array, *weights: mx.array
    ) -> mx.array:
        own, later = layer.trainable_parameters(), _random_state()
        layer.update(tree_unflatten(list(zip(names, weights, strict=True))))
        mx.random.seed((drawn + start) % 2**64)
        try:
            return inner(few, keys, values, at, start)
        finally:
            layer.update(own)
            mx.random.seed(later)

    size = piece_of(known[0].shape[2])
    starts = range(0, positions.shape[1], size)
    ats = [positions[:, start : start + size] for start in starts]

    @mx.custom_function
    def pieces(few: mx.array, *shared: mx.array) -> mx.array:
        outputs: list[mx.array] = []
        for start, at in zip(starts, ats, strict=True):
            part = mx.depends([few[:, start : start + size]], outputs[-1:])[0] if outputs else few[:, :size]
            outputs.append(piece(start, part, at, *shared))
        return mx.concatenate(outputs, axis=1)

    def again(start: int, at: mx.array, few: mx.array, *shared: mx.array) -> mx.array:
        return piece(start, few, at, *shared)

    @pieces.vjp
    def _backward(primals: Sequence[mx.array], cotangent: mx.array, _: mx.array) -> tuple[mx.array, ...]:
        few, *shared = primals
        parts: list[mx.array] = []
        totals = [mx.zeros_like(one) for one in shared]
        for start, at in zip(starts, ats, strict=True):
            # Each piece waits for the one before it. Otherwise the scores of all would exist at the same time.
            (part,) = cast(list[mx.array], mx.depends([few[:, start : start + size]], [*totals, *parts[-1:]]))
            given = [part, *shared]
            found = mx.vjp(partial(again, start, at), given, [cotangent[:, start : start + size]])[1]
            parts.append(found[0])
            totals = [total + one for total, one in zip(totals, found[1:], strict=True)]
        return mx.concatenate(parts, axis=1), *totals

    return cast(mx.array, pieces(taken(hidden, positions), *known, *weights))


def seen_from(positions: mx.array, keys: int, window: int | None) -> mx.array:
    """Which of `keys` keys the `positions` (rows, n) see, (rows, 1, n, keys): at most `window`, those before them."""
    at, places = positions[:, None, :, None], mx.arange(keys)
    seen = places <= at
    return seen if window is None else seen & (places > at - window)


def recomputed(call: LayerCall) -> Any:
    """What `call` returns, so that the backward pass computes it again. Its cache then holds what the layer keeps.

    Raises ValueError if arrays may hide in what the layer is given: they would have no gradient.
    """
    for value in call.values:
        if not isinstance(value, mx.array | nn.Module | int | float | str | None) and value is not call.cache:
            raise ValueError(f"a layer is given a {type(value).__name__}")
    arrays = [value for value in call.values if isinstance(value, mx.array)]
    before = leaves_of(call.cache.before) if call.cache is not None else []
    kept: list[Any] = []

    def inner(arrays_again: list[mx.array], before_again: list[mx.array | None]) -> list[mx.array]:
        new: dict[int, Any] = {id(old): again for old, again in zip(arrays, arrays_again, strict=True)}
        cache = None
        if call.cache is not None:
            cache = call.cache.behind(rebuilt(call.cache.before, iter(before_again)))
            new[id(call.cache)] = cache
        kept[:] = [call.replaced(new), None if cache is None else contents_of(cache)]
        # One that is both returned and held is given once, because of two, one would have no gradient.
        return list({id(value): value for value in leaves_of(kept) if isinstance(value, mx.array)}.values())

    results = _recomputed(call.layer, inner)(arrays, before)
    inside = dict.fromkeys(id(value) for value in leaves_of(kept) if isinstance(value, mx.array))
    found = dict(zip(inside, results, strict=True))
    output, contents = rebuilt(kept, (found.get(id(value), value) for value in leaves_of(kept)))
    if contents is not None:
        call.cache.hold(contents)
    return output


def recomputing(layers: Sequence[nn.Module]) -> AbstractContextManager[None]:
    """During the `with` block, calls of these layers keep their input alone. For a model that calls them itself."""

    def answer(call: Call) -> Any:
        return _recomputed(call.module, partial(call.function, call.module))(*call.given, **call.named)

    return intercepted(layers, answer)


def _recomputed(layer: nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which calls `layer`, so that the backward pass computes it again from its arrays.

    The layer's trainable parameters are among these: what a function only refers to has no gradient. Dropout draws
    the same numbers again.
    """

    def call(*given: Any, **named: Any) -> Any:
        drawn = _random_state()
        again = False

        def inner(parameters: Any, *given: Any, **named: Any) -> Any:
            own, later = layer.trainable_parameters(), _random_state()
            layer.update(parameters)
            mx.random.seed(drawn)
            try:
                return function(*given, **named)
            finally:
                layer.update(own)
                if again:
                    mx.random.seed(later)

        result = mx.checkpoint(inner)(layer.trainable_parameters(), *given, **named)
        again = True
        return result

    return call


def _random_state() -> int:
    """MLX's random state as the seed that sets it: its two words."""
    (state,) = cast(Iterable[mx.array], mx.random.state)
    high, low = np.array(state).tolist()
    return int(high) << 32 | int(low)
