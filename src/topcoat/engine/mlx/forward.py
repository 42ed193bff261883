"""The forward pass of training: through the whole model, or through its top over stored trunk activations.

With adapters on the last layers only, everything below them gives the same activations at every step: they are
computed once a row. What all rows begin with (system prompt, tools) is computed once for all of them. And only trained
positions need logits. All three are exact; where an architecture's layers can't simply be called one after another, the
whole model is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.base import create_attention_mask

from topcoat.engine.base import Row
from topcoat.engine.mlx.lora import adapter_weights
from topcoat.engine.mlx.loss import PAD_TO, batch_arrays, padded_width, weighted_loss
from topcoat.engine.mlx.scalar import scalar

__all__ = ["Forward", "SplitForward", "WholeForward", "choose_forward", "shared_prefix"]

TOLERANCE = 1e-4
"""Largest difference between split and whole model, relative to the largest logit: float32 rounding is below 1e-5."""


SHORTEST_PREFIX = 8
"""Fewer shared tokens than this aren't worth a pass of their own."""


class Forward(Protocol):
    """Turns rows into arrays, and arrays into a loss. `loss` is what gradients are taken of."""

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]: ...

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        """The sum of weighted token losses in nats, and the sum of weights."""
        ...


class WholeForward:
    """Every layer, every time."""

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        return batch_arrays(rows)

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        tokens, weights = arrays
        return weighted_loss(model, tokens, weights)


class _PrefixKeys:
    """Stands where mlx-lm's layers expect a cache; keeps the keys and values (1, heads, prefix, dim) of the prefix."""

    offset = 0

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.keys, self.values = keys, values
        return keys, values


class _AfterPrefix:
    """The cache of the tokens that follow the prefix: each row of the batch also sees the prefix's keys and values."""

    def __init__(self, prefix: _PrefixKeys) -> None:
        self._prefix = prefix
        self.offset = prefix.keys.shape[2]

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        rows = keys.shape[0]
        before = [mx.broadcast_to(x, (rows, *x.shape[1:])) for x in (self._prefix.keys, self._prefix.values)]
        return mx.concatenate([before[0], keys], axis=2), mx.concatenate([before[1], values], axis=2)


class SplitForward:
    """The layers from `split` on, over the trunk's activations, and the head at trained positions only.

    The first `prefix` tokens, which all rows of the run share and none trains, are computed once: in the trunk once for
    all, in the top once an update, with the gradient of every row flowing through their keys and values.

    The trunk runs row by row, so a row's activations don't depend on the batch that first needed them. They stay in
    memory for the run: tokens times width times the bytes of the model's type.
    """

    def __init__(self, model: nn.Module, split: int, prefix: Sequence[int] = ()) -> None:
        self._inner = model.model
        self._split = split
        self._prefix = len(prefix)
        self._head = model.lm_head if "lm_head" in model else self._inner.embed_tokens.as_linear
        self._stored: dict[bytes, mx.array] = {}
        if prefix:
            self._trunk_keys = [_PrefixKeys() for _ in range(split)]
            self._prefix_state = self._run(self._inner.embed_tokens(mx.array([list(prefix)])), 0, self._trunk_keys)
            mx.eval(self._prefix_state, [(c.keys, c.values) for c in self._trunk_keys])

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        """Hidden states (rows, length, width); flat positions of trained predictions, their targets, their weights.

        The prefix is not part of `length`. The positions are padded to a multiple of `PAD_TO` with weight 0.
        """
        width = padded_width(rows) - self._prefix
        states = []
        targets = np.zeros((len(rows), width), np.int32)
        weights = np.zeros((len(rows), width), np.float32)
        for index, row in enumerate(rows):
            length = len(row.tokens) - 1 - self._prefix
            states.append(mx.pad(self._trunk(row), [(0, width - length), (0, 0)]))
            targets[index, :length] = row.tokens[1 + self._prefix :]
            weights[index, :length] = row.trained[1 + self._prefix :] * np.float32(row.weight)
        trained = np.flatnonzero(weights)
        positions = np.pad(trained, (0, -len(trained) % PAD_TO))
        kept = weights.reshape(-1)[positions]
        kept[len(trained) :] = 0.0
        return (
            mx.stack(states),
            mx.array(positions.astype(np.int32)),
            mx.array(targets.reshape(-1)[positions]),
            mx.array(kept),
        )

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        hidden, positions, targets, weights = arrays
        logits = self.logits(hidden, positions)
        losses = nn.losses.cross_entropy(logits.astype(mx.float32), targets)
        return (losses * weights).sum(), weights.sum()

    def logits(self, hidden: mx.array, positions: mx.array) -> mx.array:
        """Logits (positions, vocabulary) from the states (rows, length, width) that enter the top."""
        caches: Sequence[_AfterPrefix | None] | None = None
        if self._prefix:
            keys = [_PrefixKeys() for _ in self._inner.layers[self._split :]]
            self._run(self._prefix_state, self._split, keys)
            caches = [_AfterPrefix(layer) for layer in keys]
        top = self._run(hidden, self._split, caches or [None] * len(self._inner.layers[self._split :]))
        chosen = top.reshape(-1, top.shape[-1])[positions]
        return self._head(self._inner.norm(chosen))

    def _trunk(self, row: Row) -> mx.array:
        """The states (length, width) of a row's own tokens that enter the top; computed when first asked for."""
        key = row.tokens.tobytes()
        if key not in self._stored:
            length = len(row.tokens) - 1 - self._prefix
            tokens = np.zeros((1, padded_width([row]) - self._prefix), np.int32)
            tokens[0, :length] = row.tokens[self._prefix : -1]
            caches = [_AfterPrefix(layer) for layer in self._trunk_keys] if self._prefix else [None] * self._split
            hidden = self._run(self._inner.embed_tokens(mx.array(tokens)), 0, caches)[0, :length]
            mx.eval(hidden)
            self._stored[key] = hidden
        return self._stored[key]

    def _run(self, hidden: mx.array, start: int, caches: Sequence[object]) -> mx.array:
        """As many layers as there are `caches`, from layer `start` on."""
        mask = create_attention_mask(hidden, None)
        for layer, cache in zip(self._inner.layers[start:], caches, strict=False):
            hidden = layer(hidden, mask, cache)
        return hidden


def shared_prefix(rows: Sequence[Row]) -> list[int]:
    """The tokens that all rows begin with, up to the last one before a token whose prediction is trained."""
    limit = min(int(np.flatnonzero(row.trained)[0]) if row.trained.any() else len(row.tokens) for row in rows) - 1
    first = rows[0].tokens[: max(0, limit)]
    for row in rows:
        different = np.flatnonzero(row.tokens[: len(first)] != first)
        if len(different):
            first = first[: int(different[0])]
    return [int(token) for token in first]


def choose_forward(model: nn.Module, rows: Sequence[Row], dropout: float = 0.0) -> tuple[Forward, str]:
    """A split forward if it agrees with the whole model on the first row, else the whole; and what to say about it.

    The split lies at the lowest layer with a trainable parameter. With `dropout` no prefix is shared: each row's own
    random zeros could not be drawn in a prefix that is computed once.
    """
    names = list(adapter_weights(model))
    layers = [int(name.split(".")[2]) for name in names if name.startswith("model.layers.")]
    if len(layers) < len(names) or not layers:
        return WholeForward(), "adapters outside the layers: no trunk to compute once"
    model.eval()  # dropout would make any two passes differ
    prefix = shared_prefix(rows) if dropout == 0.0 else []
    try:
        split = SplitForward(model, min(layers), prefix if len(prefix) >= SHORTEST_PREFIX else [])
        difference = _difference(model, split, rows[0])
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        return WholeForward(), f"this architecture's layers can't be called one by one ({error}): no trunk"
    if not difference <= TOLERANCE:
        return WholeForward(), f"split and whole model differ by {difference:.1e} of the largest logit: no trunk"
    said = f"trunk of {min(layers)} layers computed once a row, {len(model.layers) - min(layers)} trained on"
    if len(prefix) >= SHORTEST_PREFIX:
        said += f"; a prefix of {len(prefix)} tokens shared by all {len(rows)} rows"
    return split, said


def _difference(model: nn.Module, split: SplitForward, row: Row) -> float:
    """The largest difference of a logit at the row's trained positions, relative to the largest logit."""
    hidden, positions, _, weights = split.arrays([row])
    count = int((np.array(weights) != 0).sum())
    ours = split.logits(hidden, positions)[:count].astype(mx.float32)
    tokens, all_weights = batch_arrays([row])
    theirs = model(tokens[:, :-1])[0][mx.array(np.flatnonzero(np.array(all_weights[0])))].astype(mx.float32)
    return scalar(mx.abs(ours - theirs).max() / mx.abs(theirs).max())
