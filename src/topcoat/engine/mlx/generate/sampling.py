"""Draws tokens so that an answer is repeatable, alone or in any batch."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from topcoat.engine.protocol import Sampling

__all__ = ["draw"]

_POSITIONS = 16
"""The bits of a key that count tokens. The other bits are the seed's."""


def draw(logits: mx.array, sampling: Sequence[Sampling], places: Sequence[int]) -> mx.array:
    """A token for each row of `logits` (rows, vocabulary), its answer's `places[row]`-th (from 0), as (rows,).

    It uses the Gumbel-max trick: the largest of logit + temperature x Gumbel noise has the distribution of the softmax
    at that temperature, and at 0 it is the most probable token. A row's noise depends on its seed and place alone.
    """
    if not any(one.temperature for one in sampling):
        return mx.argmax(logits, axis=-1)
    drawn = zip(sampling, places, strict=True)
    keys = mx.stack([mx.random.key((one.seed << _POSITIONS) + place) for one, place in drawn])
    noise = mx.vmap(lambda key: mx.random.gumbel(logits.shape[1:], key=key))(keys)
    temperatures = mx.array([one.temperature for one in sampling])[:, None]
    return mx.argmax(logits.astype(mx.float32) + temperatures * noise, axis=-1)
