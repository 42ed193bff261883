"""The training loss: cross-entropy on the trained tokens of rows alone."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from topcoat.engine.protocol import Row

__all__ = ["batch_arrays", "padded", "padded_width", "weighted_loss"]

PAD_TO = 8
"""Lengths are padded to a multiple of this. Nothing is compiled per shape, so a small number wastes the least."""


def padded_width(rows: Sequence[Row]) -> int:
    """The number of predictions a row in a batch of `rows`, padding included."""
    return padded(max(len(row.tokens) for row in rows) - 1)


def padded(length: int) -> int:
    """The next multiple of `PAD_TO`."""
    return PAD_TO * -(-length // PAD_TO)


def batch_arrays(rows: Sequence[Row]) -> tuple[mx.array, mx.array]:
    """Token ids, int32 (rows, length + 1), and the loss weight of each predicted token, float32 (rows, length).

    Padding is on the right with weight 0, so it changes nothing under a causal mask. (mlx-lm's loss mask counts one
    padding token a row; see `default_loss` in its trainer.)
    """
    width = padded_width(rows)
    tokens = np.zeros((len(rows), width + 1), np.int32)
    weights = np.zeros((len(rows), width), np.float32)
    for index, row in enumerate(rows):
        length = len(row.tokens)
        tokens[index, :length] = row.tokens
        weights[index, : length - 1] = row.trained[1:] * np.float32(row.weight)
    return mx.array(tokens), mx.array(weights)


def weighted_loss(model: nn.Module, tokens: mx.array, weights: mx.array) -> tuple[mx.array, mx.array]:
    """The sum of weighted token losses in nats, and the sum of weights. Unlike means, sums add up over batches."""
    logits = model(tokens[:, :-1])
    losses = nn.losses.cross_entropy(logits.astype(mx.float32), tokens[:, 1:])
    return (losses * weights).sum(), weights.sum()
