"""The head, and its loss at chosen positions, without holding all of their logits at once.

The head is frozen, so its gradient is known as soon as the logits are. Each chunk's logits become a loss and a gradient
at once, and are dropped. With 150,000 tokens in the vocabulary, the logits of one row would otherwise take more memory
than its layers' activations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import mlx.core as mx
import mlx.nn as nn

from topcoat.engine.mlx.cpu import fast_math
from topcoat.engine.mlx.cpu.quicken import on_cpu
from topcoat.engine.mlx.train.interception import intercepted

__all__ = ["head_loss", "logits_of"]

CHUNK = 128
"""The number of positions whose logits exist at the same time."""


def logits_of(model: nn.Module, states: mx.array) -> mx.array:
    """The logits (n, vocabulary) that `model` makes of states (n, width), as its inner model (`model.model`) returns.

    The model's own call computes them, with all that it does after its layers, such as a scaling of the logits.
    """
    with intercepted([model.model], lambda _: states[None]):
        return cast(mx.array, model(mx.zeros((1, states.shape[0]), mx.int32))[0])


def head_loss(head: Callable[[mx.array], mx.array], hidden: mx.array, targets: mx.array, weights: mx.array) -> mx.array:
    """The weighted sum of token losses in nats. Differentiable in `hidden` (positions, width) alone.

    `head` maps (n, width) to logits (n, vocabulary) and has nothing trainable. `targets` and `weights`: (positions,).
    """

    def chunk_loss(states: mx.array, target: mx.array, weight: mx.array) -> mx.array:
        losses = cross_entropy(head(states).astype(mx.float32), target)
        return (losses * weight).sum()

    cross_entropy = fast_math.cross_entropy if on_cpu() else nn.losses.cross_entropy
    with_gradient = mx.value_and_grad(chunk_loss)

    @mx.custom_function
    def loss_and_gradient(states: mx.array) -> tuple[mx.array, mx.array]:
        total = mx.array(0.0)
        gradients: list[mx.array] = []
        for start in range(0, states.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            # Each chunk waits for the one before it. Otherwise all chunks' logits would exist at the same time.
            piece = mx.depends(states[part], [total, *gradients[-1:]])
            loss, gradient = with_gradient(piece, targets[part], weights[part])
            total = total + loss
            gradients.append(gradient)
        return total, mx.concatenate(gradients)

    @loss_and_gradient.vjp
    def _backward(
        primals: mx.array, cotangents: tuple[mx.array, mx.array], outputs: tuple[mx.array, mx.array]
    ) -> mx.array:
        return (cotangents[0] * outputs[1]).astype(primals.dtype)

    total, _ = cast(tuple[mx.array, mx.array], loss_and_gradient(hidden))
    return total
