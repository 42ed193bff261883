"""One number out of MLX."""

from __future__ import annotations

from typing import cast

import mlx.core as mx

__all__ = ["scalar"]


def scalar(array: mx.array) -> float:
    """The value of a real array with one element; computes it. (`item` is typed as if it might be complex.)"""
    return float(cast(float, array.item()))
