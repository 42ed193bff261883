"""Adapters on a mixture's experts, for MLX's CUDA backend.

mlx-lm sorts pairs of a token and its expert by their experts if there are 64 or more. For fewer, MLX 0.32.4's gradient
of an adapter is a `gather_mm` in float32 with a row for each of the module's inputs. From 65 rows on, that kernel needs
more shared memory than it asks the driver for (`gemm_sm70` in MLX's backend/cuda), and CUDA refuses it: "invalid
argument". Here that gradient is two plain products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import mlx.core as mx

__all__ = ["gather_mm", "replacing"]

_stock_gather_mm = mx.gather_mm


@contextmanager
def replacing() -> Iterator[None]:
    """During the `with` block, unsorted products with experts have a gradient that CUDA can compute."""
    mx.gather_mm = gather_mm
    try:
        yield
    finally:
        mx.gather_mm = _stock_gather_mm


def gather_mm(
    a: mx.array,
    b: mx.array,
    /,
    lhs_indices: mx.array | None = None,
    rhs_indices: mx.array | None = None,
    *,
    sorted_indices: bool = False,
    **options: Any,
) -> mx.array:
    """`mx.gather_mm`: a (..., rows, in), b (experts, in, out) and `rhs_indices` (...) to (..., rows, out).

    Dimensions of `a` before the last two may be 1 where the indices have more, as in mlx-lm's mixtures.
    """
    if sorted_indices or lhs_indices is not None or rhs_indices is None or a.ndim != rhs_indices.ndim + 2:
        return _stock_gather_mm(a, b, lhs_indices, rhs_indices, sorted_indices=sorted_indices, **options)

    @mx.custom_function
    def product(a: mx.array, b: mx.array) -> mx.array:
        return _stock_gather_mm(a, b, rhs_indices=rhs_indices, **options)

    @product.vjp
    def _backward(primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        a, b = primals
        of_a = _stock_gather_mm(cotangent, b.swapaxes(-1, -2), rhs_indices=rhs_indices, **options)
        repeated = [axis for axis in range(a.ndim - 2) if a.shape[axis] == 1 != of_a.shape[axis]]
        of_a = of_a.sum(axis=repeated, keepdims=True) if repeated else of_a
        each = (a.swapaxes(-1, -2) @ cotangent).reshape(rhs_indices.size, -1)
        # A product adds up in a fixed order. A scatter on a GPU doesn't, and equal trainings would differ.
        chosen = mx.arange(b.shape[0])[:, None] == rhs_indices.reshape(1, -1)
        of_b = (chosen.astype(each.dtype) @ each).reshape(b.shape)
        return of_a.astype(a.dtype), of_b.astype(b.dtype)

    return cast(mx.array, product(a, b))
