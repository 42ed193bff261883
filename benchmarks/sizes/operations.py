"""The floating-point operations of a training, counted as in docs/performance.md."""

from __future__ import annotations

from benchmarks.sizes.shapes import Shape

__all__ = ["trunk_operations", "update_operations"]


def _layer(shape: Shape, tokens: float, context: float) -> float:
    """Those of `tokens` tokens through a layer, each with `context` keys."""
    return tokens * (2 * shape.active_layer + 4 * context * shape.heads * shape.head)


def trunk_operations(shape: Shape, tokens: int, adapted: int) -> float:
    """Those of one row through the layers below the adapted ones, once."""
    return (shape.layers - adapted) * _layer(shape, tokens, tokens)


def update_operations(shape: Shape, tokens: int, completion: int, adapted: int) -> float:
    """Those of one row in one update, forward and backward.

    The last layer and the head compute `completion` tokens: from the first trained one to the last.
    """
    layers = (adapted - 1) * _layer(shape, tokens, tokens) + _layer(shape, completion, tokens)
    return 2 * (layers + 2 * completion * shape.head_weights)
