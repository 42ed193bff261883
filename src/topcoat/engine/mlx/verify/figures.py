"""What logits say of the positions of a reference: gaps, log-probabilities, and the divergence of two models."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.cpu.quicken import on_cpu
from topcoat.engine.mlx.verify.rows import Place

__all__ = ["NEAR", "say"]

NEAR = {mx.float32: 1e-5, mx.float16: 4e-3, mx.bfloat16: 3e-2}
"""The gap between two logits, relative to the largest, within which rounding may decide which is larger."""

Floats = NDArray[np.float32]


def say(places: Sequence[Place], logits: Sequence[mx.array], stops: Sequence[int]) -> None:
    """Write into the rows of `places` what the model's logits (places, vocabulary), and its base's, say of them."""
    near = NEAR.get(logits[0].dtype, NEAR[mx.float32])
    right = [[row.reference.ids[at]] if at < len(row.reference.ids) else stops for row, at in places]
    wide = [one.astype(mx.float32) for one in logits]
    figures = in_numpy([np.array(one) for one in wide], right) if on_cpu() else in_mlx(wide, right)
    found = figures.astype(float).tolist()
    for number, (row, _) in enumerate(places):
        row.gaps.append(found[0][number] / near)
        row.logprobs.append(found[1][number])
        if len(found) > 2:
            row.base_logprobs.append(found[2][number])
            row.kl.append(found[3][number])


def in_mlx(logits: Sequence[mx.array], right: Sequence[Sequence[int]]) -> NDArray[np.floating]:
    """Figures (2 or 4, places) of logits (places, vocabulary), float32, of a model and possibly its base.

    The gap of the `right` tokens' largest logit and the largest other one, relative to the largest absolute one; the
    log-probability of the right tokens in nats, and the base's; KL(base || model) in nats.
    """
    model, *base = logits
    mask = np.zeros(model.shape, np.bool_)
    for row, tokens in zip(mask, right, strict=True):
        row[list(tokens)] = True
    is_right, least = mx.array(mask), mx.finfo(mx.float32).min
    own, other = mx.where(is_right, model, least), mx.where(is_right, least, model)
    sizes = mx.where(mx.isinf(model), 0.0, mx.abs(model))
    gap = (mx.max(own, axis=-1) - mx.max(other, axis=-1)) / mx.max(sizes, axis=-1)
    total = mx.logsumexp(model, axis=-1)
    figures = [gap, mx.logsumexp(own, axis=-1) - total]
    for of_base in base:
        base_total = mx.logsumexp(of_base, axis=-1)
        base_own = mx.logsumexp(mx.where(is_right, of_base, least), axis=-1)
        shares = mx.exp(of_base - base_total[:, None])
        difference = of_base - model + (total - base_total)[:, None]
        divergence = mx.sum(mx.where(mx.isneginf(of_base), 0.0, shares * difference), axis=-1)
        figures += [base_own - base_total, divergence]
    return np.array(mx.stack(figures))


def in_numpy(logits: Sequence[Floats], right: Sequence[Sequence[int]]) -> NDArray[np.floating]:
    """The same. On a CPU, numpy's exponential takes 0.8 ns a value and MLX's 12."""
    model, *base = logits
    begins = np.cumsum([0, *(len(tokens) for tokens in right)])[:-1]
    where = np.repeat(np.arange(len(right)), [len(tokens) for tokens in right]), np.concatenate(right).astype(np.intp)
    own = model[where]
    least = model.min(axis=-1)
    hidden = bool(np.isneginf(least).any())  # one more pass, of a model that has tokens it never gives
    if hidden:
        least = np.where(np.isneginf(model), 0.0, model).min(axis=-1)
    largest = np.maximum(model.max(axis=-1), -least)
    exponents, total = _normalized(model)
    figures = [np.logaddexp.reduceat(own, begins, dtype=np.float64) - total]
    for of_base in base:
        exponents, base_total = _normalized(of_base)
        with np.errstate(invalid="ignore"):
            difference = of_base - model
        difference += (total - base_total)[:, None].astype(np.float32)
        if hidden:
            difference[np.isneginf(of_base)] = 0.0
        divergence = np.einsum("ij,ij->i", exponents, difference) / exponents.sum(axis=-1)
        figures += [np.logaddexp.reduceat(of_base[where], begins, dtype=np.float64) - base_total, divergence]
    others = model.copy()
    others[where] = -np.inf
    gap = (np.maximum.reduceat(own, begins) - others.max(axis=-1)) / largest
    return np.stack([gap, *figures])


def _normalized(logits: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """exp(logits - the row's largest), and the logarithm of the sum of a row's exponentials.

    Two models' logarithms differ little, so float32 would leave noise of 1e-6 in their divergence.
    """
    largest = logits.max(axis=-1)
    exponents = logits - largest[:, None]
    np.exp(exponents, out=exponents)
    return exponents, largest + np.log(exponents.sum(axis=-1, dtype=np.float64))
