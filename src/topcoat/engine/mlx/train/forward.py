"""The forward pass of training: through the whole model, or through its top over the trunk's stored activations.

With adapters on the last layers only, everything below them gives the same activations at every step, so they are
computed once a row. The tokens that all rows begin with (system prompt, tools) are computed once for all rows. The last
layer is needed only from the first trained position of a row to the last, and the head only at trained positions. All
of this is exact. If a model's forward can't be cut between its layers, the whole model is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from topcoat.engine.mlx.train.cut import Cut, LayerCall, Values, leaves_of, stop, taken
from topcoat.engine.mlx.train.head import head_loss, logits_of
from topcoat.engine.mlx.train.loss import batch_arrays, padded, padded_width, weighted_loss
from topcoat.engine.mlx.train.prefix import AfterPrefix, Caches, ChosenQueries, Contents, Masks, contents_of, masks_of
from topcoat.engine.mlx.train.recompute import (
    SCORES,
    at_positions,
    keys_and_values,
    recomputed,
    recomputing,
    seen_from,
)
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.protocol import Row

__all__ = ["Forward", "SplitForward", "WholeForward"]

MERGED = 4096
"""The most tokens, padding included, of the micro-batches of an update that are joined to one batch."""


class Forward(Protocol):
    """Turns rows into arrays, and arrays into a loss, which is differentiated."""

    @property
    def trunk_seconds(self) -> float:
        """The seconds that the trunk took."""
        ...

    def groups(self, batches: Sequence[Sequence[Row]]) -> list[list[Row]]:
        """The micro-batches of one update as they are computed: some may be joined."""
        ...

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]: ...

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        """The sum of weighted token losses in nats, and the sum of weights."""
        ...


class WholeForward:
    """Computes every layer, every time. With `recompute`, the backward pass computes what is inside of layers again.

    With `by_chunks`, the logits of a few positions exist at a time. The head, and all that isn't in the layers, must
    then have nothing trainable.
    """

    trunk_seconds = 0.0

    def __init__(self, *, recompute: bool = False, by_chunks: bool = False) -> None:
        self._recompute = recompute
        self._by_chunks = by_chunks

    def groups(self, batches: Sequence[Sequence[Row]]) -> list[list[Row]]:
        return [list(batch) for batch in batches]

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        return batch_arrays(rows)

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        tokens, weights = arrays
        with recomputing(model.layers if self._recompute else []):
            if not self._by_chunks:
                return weighted_loss(model, tokens, weights)
            states = model.model(tokens[:, :-1])
            flat = states.reshape(-1, states.shape[-1])
            total = head_loss(partial(logits_of, model), flat, tokens[:, 1:].reshape(-1), weights.reshape(-1))
            return total, weights.sum()


class SplitForward:
    """Computes the top over the trunk's values, and the head at trained positions only.

    All rows share the prefix, and none trains it. It goes through the top once an update. The gradient of every row
    flows through what its layers keep. With `recompute`, the backward pass computes what is inside of layers again.
    With `pieces`, layers that attend are called for some of a row's positions, the last one for the trained ones only.
    """

    def __init__(self, model: nn.Module, trunk: Trunk, *, recompute: bool = False, pieces: bool = True) -> None:
        self._trunk = trunk
        self._plan = trunk.plan
        self._cut = Cut(model, trunk.plan)
        self._recompute = recompute
        self._pieces = pieces
        self._last = len(self._cut.layers) - 1
        self._prefix = len(trunk.prefix)
        self._prefix_values = trunk.prefix_values() if self._prefix else {}

    @property
    def trunk_seconds(self) -> float:
        return self._trunk.seconds

    def groups(self, batches: Sequence[Sequence[Row]]) -> list[list[Row]]:
        """Small micro-batches are joined, because the prefix is computed once for each group."""
        groups: list[list[Row]] = []
        for batch in batches:
            joined = [*groups[-1], *batch] if groups else []
            if joined and len(joined) * (padded_width(joined) - self._prefix) <= MERGED:
                groups[-1] = joined
            else:
                groups.append(list(batch))
        return groups

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        """Tokens, the last layer's queries, and for each trained prediction its place, target and weight; then values.

        Tokens are (rows, length). Queries are (rows, span): consecutive positions of their row. A place is flat, among
        the queries. The values are what enters the top.

        The prefix is not part of `length`. The places are padded to a multiple of `PAD_TO` with weight 0.
        """
        width = padded(max(self._own(row) for row in rows))
        spans = [np.flatnonzero(row.trained[1 + self._prefix :]) for row in rows]
        span = max((int(places[-1] - places[0]) + 1 for places in spans if len(places)), default=1)
        span = min(width, padded(span))
        tokens = np.zeros((len(rows), width), np.int32)
        queries = np.zeros((len(rows), span), np.int32)
        targets = np.zeros((len(rows), span), np.int32)
        weights = np.zeros((len(rows), span), np.float32)
        for index, (row, places) in enumerate(zip(rows, spans, strict=True)):
            tokens[index, : self._own(row)] = row.tokens[self._prefix : -1]
            begin = min(int(places[0]), width - span) if len(places) else 0
            queries[index] = np.arange(begin, begin + span)
            here = slice(1 + self._prefix + begin, 1 + self._prefix + begin + span)
            own = len(row.tokens[here])
            targets[index, :own] = row.tokens[here]
            weights[index, :own] = row.trained[here] * np.float32(row.weight)
        trained = np.flatnonzero(weights)
        chosen = np.pad(trained, (0, padded(len(trained)) - len(trained)))
        kept = weights.reshape(-1)[chosen]
        kept[len(trained) :] = 0.0
        return (
            mx.array(tokens),
            mx.array(queries),
            mx.array(chosen.astype(np.int32)),
            mx.array(targets.reshape(-1)[chosen]),
            mx.array(kept),
            *self._values(rows, width),
        )

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        tokens, queries, chosen, targets, weights, *values = arrays
        return head_loss(self.head, self.states(tokens, queries, chosen, values), targets, weights), weights.sum()

    def logits(self, tokens: mx.array, queries: mx.array, chosen: mx.array, values: Sequence[mx.array]) -> mx.array:
        """Logits (places, vocabulary) from what enters the top."""
        return self.head(self.states(tokens, queries, chosen, values))

    def head(self, states: mx.array) -> mx.array:
        """Logits (n, vocabulary) of states (n, ...) that the last layer returns."""
        return self._cut.head(states)

    def _own(self, row: Row) -> int:
        """The number of a row's predictions after the prefix."""
        return len(row.tokens) - 1 - self._prefix

    def _values(self, rows: Sequence[Row], width: int) -> list[mx.array]:
        """The values of all rows, each padded to `width` positions and joined."""
        found = [self._trunk.values(row) for row in rows]
        joined = []
        for leaf in self._trunk.crossing:
            axes = self._plan.axes[leaf]
            arrays = [values[leaf] for values in found]
            if axes.length is not None:
                # Padded with the last state: zeros have no direction, and gemma3n's layers divide by a state's length.
                padding = [[(0, 0)] * axes.length + [(0, width - self._own(row))] for row in rows]
                arrays = [
                    mx.pad(array, [*pad, *[(0, 0)] * (array.ndim - len(pad))], mode="edge")
                    for array, pad in zip(arrays, padding, strict=True)
                ]
            joined.append(arrays[0] if axes.rows is None else mx.concatenate(arrays, axis=axes.rows))
        return joined

    def states(self, tokens: mx.array, queries: mx.array, chosen: mx.array, values: Sequence[mx.array]) -> mx.array:
        """The states (places, ...) that the last layer returns at the chosen places, from what enters the top."""
        before: list[Contents] | None = None
        if self._prefix:
            shared = mx.array([self._trunk.prefix])
            caches = self._plan.caches(None, 0, 1)
            self._top(shared, self._prefix_values, caches, None)
            before = [contents_of(cache) for cache in caches or []]
        caches = self._plan.caches(before, self._prefix, tokens.shape[0])
        top = self._top(tokens, dict(zip(self._trunk.crossing, values, strict=True)), caches, queries)
        return top.reshape(-1, *top.shape[2:])[chosen]

    def _top(self, tokens: mx.array, values: Values, caches: Caches | None, queries: mx.array | None) -> mx.array:
        """The last layer's output (rows, span, ...) at the queries. Without queries, the caches are filled."""
        masks = masks_of(caches or [])

        def station(call: LayerCall) -> Any:
            pieces = self._pieces and self._plan.plain(call.index) and isinstance(call.cache, AfterPrefix)
            if call.index < self._last:
                if not self._recompute:
                    return call()
                if not pieces:
                    return recomputed(call)
                every = mx.broadcast_to(mx.arange(tokens.shape[1]), tokens.shape)
                return at_positions(call, masks, every, keys_and_values(call))
            if pieces and queries is not None:
                stop(self._at_queries(call, masks, queries))
            if pieces and self._recompute:
                stop(keys_and_values(call))
            states = self._plan.last.flat(leaves_of(recomputed(call) if self._recompute else call())[0])
            stop(states if queries is None else taken(states, queries))

        return cast(mx.array, self._cut.run(tokens, station, split=self._trunk.split, values=values, caches=caches))

    def _at_queries(self, call: LayerCall, masks: Masks, queries: mx.array) -> mx.array:
        """The last layer's output (rows, span, width) at the queries alone.

        A first call is for its keys and values. MLX is lazy, so it computes nothing else of that call.
        """
        hidden = cast(mx.array, call.stream)
        if self._recompute or queries.shape[1] * (self._prefix + hidden.shape[1]) > SCORES:
            return at_positions(call, masks, queries, keys_and_values(call))
        run, window = call.narrowed(masks)
        call()
        known = call.cache.keys_and_values()
        seen = seen_from(queries + self._prefix, known[0].shape[2], window)
        return run(taken(hidden, queries), queries, seen, ChosenQueries(known, queries[:, 0] + self._prefix))
