"""The forward pass of training: through the whole model, or through its top over the trunk's stored activations.

With adapters on the last layers only, everything below them gives the same activations at every step, so they are
computed once a row. The tokens that all rows begin with (system prompt, tools) are computed once for all rows. The last
layer is needed only from the first trained position of a row to the last, and the head only at trained positions. All
of this is exact. If an architecture's layers can't simply be called one after another, the whole model is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.base import create_attention_mask

from topcoat.engine.mlx.train.head import head_loss
from topcoat.engine.mlx.train.loss import batch_arrays, padded, padded_width, weighted_loss
from topcoat.engine.mlx.train.prefix import AfterPrefix, ChosenQueries, PrefixKeys
from topcoat.engine.mlx.train.trunk import Trunk, run_layers
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
    """Computes every layer, every time."""

    trunk_seconds = 0.0

    def groups(self, batches: Sequence[Sequence[Row]]) -> list[list[Row]]:
        return [list(batch) for batch in batches]

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        return batch_arrays(rows)

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        tokens, weights = arrays
        return weighted_loss(model, tokens, weights)


class SplitForward:
    """Computes the top over the trunk's activations, and the head at trained positions only.

    All rows share the prefix, and none trains it. It goes through the top once an update. The gradient of every row
    flows through its keys and values.
    """

    def __init__(self, model: nn.Module, trunk: Trunk) -> None:
        self._trunk = trunk
        self._layers = model.model.layers[trunk.split :]
        self._norm = model.model.norm
        self._head = model.lm_head if "lm_head" in model else model.model.embed_tokens.as_linear
        self._prefix = len(trunk.prefix)
        self._prefix_states = trunk.prefix_states() if self._prefix else None

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
        """Hidden states, the last layer's queries, and for each trained prediction its place, target and weight.

        States are (rows, length, width). Queries are (rows, span): consecutive positions of their row. A place is flat,
        among the queries.

        The prefix is not part of `length`. The places are padded to a multiple of `PAD_TO` with weight 0.
        """
        width = padded(max(self._own(row) for row in rows))
        spans = [np.flatnonzero(row.trained[1 + self._prefix :]) for row in rows]
        span = max((int(places[-1] - places[0]) + 1 for places in spans if len(places)), default=1)
        span = min(width, padded(span))
        states = []
        queries = np.zeros((len(rows), span), np.int32)
        targets = np.zeros((len(rows), span), np.int32)
        weights = np.zeros((len(rows), span), np.float32)
        for index, (row, places) in enumerate(zip(rows, spans, strict=True)):
            states.append(mx.pad(self._trunk.states(row), [(0, width - self._own(row)), (0, 0)]))
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
            mx.stack(states),
            mx.array(queries),
            mx.array(chosen.astype(np.int32)),
            mx.array(targets.reshape(-1)[chosen]),
            mx.array(kept),
        )

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        hidden, queries, chosen, targets, weights = arrays
        return head_loss(self._head, self._final(hidden, queries, chosen), targets, weights), weights.sum()

    def logits(self, hidden: mx.array, queries: mx.array, chosen: mx.array) -> mx.array:
        """Logits (places, vocabulary) from the states (rows, length, width) that enter the top."""
        return self._head(self._final(hidden, queries, chosen))

    def _own(self, row: Row) -> int:
        """The number of a row's predictions after the prefix."""
        return len(row.tokens) - 1 - self._prefix

    def _final(self, hidden: mx.array, queries: mx.array, chosen: mx.array) -> mx.array:
        """The normed states (places, width) that the head reads."""
        prefixes: list[PrefixKeys] | list[None] = [None] * len(self._layers)
        if self._prefix_states is not None:
            prefixes = [PrefixKeys() for _ in self._layers]
            run_layers(self._layers, self._prefix_states, prefixes)
        *lower, last = self._layers
        hidden = run_layers(lower, hidden, [AfterPrefix(keys) for keys in prefixes[:-1]])
        top = self._last_layer(last, hidden, queries, AfterPrefix(prefixes[-1]))
        return self._norm(top.reshape(-1, top.shape[-1])[chosen])

    def _last_layer(self, layer: nn.Module, hidden: mx.array, queries: mx.array, complete: AfterPrefix) -> mx.array:
        """The last layer's output (rows, span, width) at the queries.

        The first call is for its keys and values. MLX is lazy, so it computes nothing else of that call.
        """
        layer(hidden, create_attention_mask(hidden, None), complete)
        keys = mx.arange(self._prefix + hidden.shape[1])
        seen = keys <= queries[:, None, :, None] + self._prefix
        few = mx.take_along_axis(hidden, queries[..., None], axis=1)
        output: mx.array = layer(few, seen, ChosenQueries(complete, queries[:, 0] + self._prefix))
        return output
