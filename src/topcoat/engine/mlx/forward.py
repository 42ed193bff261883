"""The forward pass of training: through the whole model, or through its top over stored trunk activations.

With adapters on the last layers only, everything below them gives the same activations at every step: they are
computed once a row. And only trained positions need logits. Both are exact; where an architecture's layers can't simply
be called one after another, the whole model is used.
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

__all__ = ["Forward", "SplitForward", "WholeForward", "choose_forward"]

TOLERANCE = 1e-4
"""Largest difference between split and whole model, relative to the largest logit: float32 rounding is below 1e-5."""


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


class SplitForward:
    """The layers from `split` on, over the trunk's activations, and the head at trained positions only.

    The trunk runs row by row, so a row's activations don't depend on the batch that first needed them. They stay in
    memory for the run: tokens times width times the bytes of the model's type.
    """

    def __init__(self, model: nn.Module, split: int) -> None:
        self._inner = model.model
        self._split = split
        self._head = model.lm_head if "lm_head" in model else self._inner.embed_tokens.as_linear
        self._stored: dict[bytes, mx.array] = {}

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        """Hidden states (rows, length, width); flat positions of trained predictions, their targets, their weights.

        The number of positions is padded to a multiple of `PAD_TO` with weight 0, so that few shapes occur.
        """
        width = padded_width(rows)
        states = []
        targets = np.zeros((len(rows), width), np.int32)
        weights = np.zeros((len(rows), width), np.float32)
        for index, row in enumerate(rows):
            length = len(row.tokens) - 1
            states.append(mx.pad(self._trunk(row), [(0, width - length), (0, 0)]))
            targets[index, :length] = row.tokens[1:]
            weights[index, :length] = row.trained[1:] * np.float32(row.weight)
        positions = np.flatnonzero(weights)
        positions = np.pad(positions, (0, -len(positions) % PAD_TO))
        kept = weights.reshape(-1)[positions]
        kept[np.count_nonzero(weights) :] = 0.0
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
        top = self._run(hidden, self._split, len(self._inner.layers))
        chosen = top.reshape(-1, top.shape[-1])[positions]
        return self._head(self._inner.norm(chosen))

    def _trunk(self, row: Row) -> mx.array:
        """The states (length - 1, width) that enter the top; computed when first asked for."""
        key = row.tokens.tobytes()
        if key not in self._stored:
            length = len(row.tokens) - 1
            tokens = np.zeros((1, padded_width([row])), np.int32)
            tokens[0, :length] = row.tokens[:-1]
            hidden = self._run(self._inner.embed_tokens(mx.array(tokens)), 0, self._split)[0, :length]
            mx.eval(hidden)
            self._stored[key] = hidden
        return self._stored[key]

    def _run(self, hidden: mx.array, start: int, end: int) -> mx.array:
        mask = create_attention_mask(hidden, None)
        for layer in self._inner.layers[start:end]:
            hidden = layer(hidden, mask, None)
        return hidden


def choose_forward(model: nn.Module, row: Row) -> tuple[Forward, str]:
    """A split forward if it agrees with the whole model on `row`, else the whole; and what there is to say about it.

    The split lies at the lowest layer with a trainable parameter.
    """
    names = list(adapter_weights(model))
    layers = [int(name.split(".")[2]) for name in names if name.startswith("model.layers.")]
    if len(layers) < len(names) or not layers:
        return WholeForward(), "adapters outside the layers: no trunk to compute once"
    model.eval()  # dropout would make any two passes differ
    try:
        split = SplitForward(model, min(layers))
        hidden, positions, _, weights = split.arrays([row])
        count = int((np.array(weights) > 0).sum())
        ours = split.logits(hidden, positions)[:count].astype(mx.float32)
        tokens, _ = batch_arrays([row])
        theirs = model(tokens[:, :-1])[0][positions[:count]].astype(mx.float32)
        difference = scalar(mx.abs(ours - theirs).max() / mx.abs(theirs).max())
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        return WholeForward(), f"this architecture's layers can't be called one by one ({error}): no trunk"
    if not difference <= TOLERANCE:
        return WholeForward(), f"split and whole model differ by {difference:.1e} of the largest logit: no trunk"
    return split, f"trunk of {min(layers)} layers computed once a row, {len(model.layers) - min(layers)} trained on"
