"""Compensated rounding: later weights take back the error that earlier rounding adds to a module's outputs.

This is optimal brain surgery on a fixed grid, as in GPTQ (Frantar et al. 2022, arXiv 2210.17323). H are the second
moments of the module's inputs, and U is the upper Cholesky factor of its inverse. Rounding column i by an error e
disturbs the outputs least if every later column j is moved by -e U[i, j] / U[i, i]. Columns are rounded in the order of
falling H[i, i].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_unflatten
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear
from numpy.typing import NDArray

from topcoat.engine.protocol import Row
from topcoat.errors import NumericalFault

__all__ = ["compensated_codes", "input_moments"]

Floats = NDArray[np.floating[Any]]

DAMPING = 0.01
"""Added to H's diagonal, as a share of its mean, because inputs that are rare in the rows may still occur."""
BLOCK = 64
"""The number of columns whose errors are passed on to all later ones in one product."""


def input_moments(model: nn.Module, rows: Sequence[Row]) -> dict[str, mx.array]:
    """X'X (in, in), float32, of the inputs X of every adapted linear module of `model` on `rows`, by name.

    All are held at once. Experts and embeddings are left out, because an expert sees too few of the rows. Raises
    NumericalFault if numbers overflow.
    """
    watched = {name: _Watched(m) for name, m in model.named_modules() if isinstance(m, LoRALinear | DoRALinear)}
    model.update_modules(tree_unflatten(list(watched.items())))
    for row in rows:
        mx.eval(model(mx.array(row.tokens[None, :])), [module.moments for module in watched.values()])
    model.update_modules(tree_unflatten([(name, module.inner) for name, module in watched.items()]))
    moments = {name: module.moments for name, module in watched.items()}
    for name, value in moments.items():
        if not mx.isfinite(value).all().item():
            raise NumericalFault(f"{name}: what it is given on the calibration rows is not finite")
    return moments


class _Watched(nn.Module):
    """Wraps a module and sums up the second moments of its inputs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.moments = mx.array(0.0)

    def __call__(self, x: mx.array) -> mx.array:
        flat = x.reshape(-1, x.shape[-1]).astype(mx.float32)
        self.moments = self.moments + flat.T @ flat
        return self.inner(x)


def compensated_codes(
    weight: NDArray[np.float32],
    scales: NDArray[np.float32],
    biases: NDArray[np.float32],
    bits: int,
    moments: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """The integers (out, in) that `weight` (out, in) is rounded to on the grid `scales` * code + `biases`.

    `scales` and `biases` are (out, groups), `moments` is (in, in).
    """
    width = weight.shape[1]
    inputs = moments.astype(np.float64)
    mean = np.trace(inputs) / width
    inputs = inputs / mean if mean > 0 else inputs
    inputs[np.diag_indices(width)] += DAMPING
    order = np.argsort(-np.diag(inputs), kind="stable")
    factor = _factor_of_inverse(inputs[np.ix_(order, order)])
    # Columns are rows from here on, because the work goes column by column.
    rest = weight.T[order].astype(np.float64)
    steps, lows = (np.repeat(grid.T, width // grid.shape[1], axis=0)[order] for grid in (scales, biases))
    rounded = np.empty(rest.shape, np.uint8)
    for start in range(0, width, BLOCK):
        end = min(width, start + BLOCK)
        errors = np.empty((end - start, rest.shape[1]))
        for i in range(start, end):
            step = np.where(steps[i] == 0, 1.0, steps[i])
            rounded[i] = np.clip(np.round((rest[i] - lows[i]) / step), 0, 2**bits - 1)
            error = (rest[i] - (rounded[i] * steps[i] + lows[i])) / factor[i, i]
            rest[i:end] -= np.outer(factor[i, i:end], error)
            errors[i - start] = error
        rest[end:] -= factor[start:end, end:].T @ errors
    codes = np.empty(weight.shape, np.uint8)
    codes[:, order] = rounded.T
    return codes


def _factor_of_inverse(matrix: Floats) -> Floats:
    """The upper U with U'U the inverse of a positive definite matrix.

    With rows and columns reversed, U is the inverse of the Cholesky factor. So only a triangle is inverted.
    """
    return _inverse_of_lower(np.linalg.cholesky(matrix[::-1, ::-1]))[::-1, ::-1]


def _inverse_of_lower(triangle: Floats) -> Floats:
    """The inverse of a lower triangular matrix, by halves."""
    half = len(triangle) // 2
    if half < BLOCK:
        return np.linalg.inv(triangle)
    inverse = np.zeros_like(triangle)
    above, below = _inverse_of_lower(triangle[:half, :half]), _inverse_of_lower(triangle[half:, half:])
    inverse[:half, :half], inverse[half:, half:] = above, below
    inverse[half:, :half] = -below @ (triangle[half:, :half] @ above)
    return inverse
