"""Numbers out of MLX's arrays: the value of one, and how far two are apart."""

from __future__ import annotations

from typing import cast

import mlx.core as mx

__all__ = ["difference", "scalar"]


def scalar(array: mx.array) -> float:
    """The value of a real array with one element; computes it. (`item` is typed as if it might be complex.)"""
    return float(cast(float, array.item()))


def difference(found: mx.array, expected: mx.array, beside: mx.array | None = None) -> float:
    """The largest difference of two arrays, relative to the largest absolute number in `beside` (None: in `expected`).

    Infinities that are the same on both sides are no difference: phi3small gives -inf to tokens that nothing uses. NaN
    if a number of either side is none, infinite if only one side is.
    """
    apart = mx.where(found == expected, 0.0, mx.abs(found - expected)).max()
    sizes = mx.abs(expected if beside is None else beside)
    return scalar(apart / mx.where(mx.isinf(sizes), 0.0, sizes).max())
