"""Exponentials, silu and attention for MLX's CPU backend, made of the operations that are fast there.

MLX's CPU `exp` computes some 70 million values a second, but 5 billion additions or products: exponentials were half of
a training step. Here they are powers of two by a polynomial. Attention goes block by block over the queries, and skips
keys that no query of the block may see. One block's scores exist at a time, and its backward pass keeps one number a
query instead of the probabilities. Results equal MLX's own to float rounding. A GPU uses none of this.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import activations

__all__ = ["attention", "cross_entropy", "exp2", "replacing", "silu", "swiglu"]

Pair = tuple[mx.array, mx.array]

WORTHWHILE = 1 << 14
"""MLX computes fewer exponentials than this (of a row, in attention): many short operations cost more than one."""

BLOCK = 160
"""The most queries in a block, if later queries see more keys."""

SCORES = 1 << 19
"""The most scores of a head in a block, unless it has only `FEWEST` queries. MLX holds some ten arrays of them."""

FEWEST = 32

_LOG2_E = 1.4426950408889634
_POLYNOMIAL = (
    1.5345812024e-4,
    1.3399931220e-3,
    9.6184889570e-3,
    5.5503287770e-2,
    2.4022646891e-1,
    6.9314720574e-1,
    1.0,
)
"""The polynomial of 2**r for |r| <= 1/2, highest power first. Its relative error (Remez) is 2e-9, in float32 1e-7."""
_SHIFT = 12582912.0 + 127.0
"""1.5 · 2**23 + 127: a float32 of some n plus this holds n + 127, an exponent's bits, in its lowest bits."""
_LEAST, _MOST = -127.0, 126.0
_HIDDEN = -1e30

_stock_attention = mx.fast.scaled_dot_product_attention
_stock_silu = nn.silu
_stock_swiglu = activations.swiglu


@contextmanager
def replacing() -> Iterator[None]:
    """During the `with` block, `attention`, `silu` and `swiglu` replace MLX's and mlx-lm's own in every model."""
    mx.fast.scaled_dot_product_attention = attention
    nn.silu = silu
    _exchange_swiglu(_stock_swiglu, swiglu)
    try:
        yield
    finally:
        mx.fast.scaled_dot_product_attention = _stock_attention
        nn.silu = _stock_silu
        _exchange_swiglu(swiglu, _stock_swiglu)


def _exchange_swiglu(old: object, new: object) -> None:
    """Put `new` into every model's module that has `old`, because each imports the function by its name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mlx_lm.models.") and getattr(module, "swiglu", None) is old:
            module.swiglu = new  # type: ignore[attr-defined]  # not every module has it


def exp2(x: mx.array) -> mx.array:
    """2**x in float32 for x <= 126; 0 below -126.5. Not differentiable.

    A key that is hidden must have a share of 0: with 2**-126, its products are subnormal numbers, and what it passes on
    in the backward pass too. With one of a hundred, an x86 CPU multiplies matrices five times slower.
    """
    x = mx.maximum(x, _LEAST)
    shifted = x + _SHIFT
    r = x - (shifted - _SHIFT)
    series = r * _POLYNOMIAL[0] + _POLYNOMIAL[1]
    for coefficient in _POLYNOMIAL[2:]:
        series = series * r + coefficient
    return series * mx.left_shift(shifted.view(mx.int32), 23).view(mx.float32)


def silu(x: mx.array) -> mx.array:
    """x · sigmoid(x), of any shape."""
    if x.size < WORTHWHILE or x.dtype != mx.float32:
        return _stock_silu(x)
    output, _ = cast(Pair, _silu(x))
    return output


@mx.custom_function
def _silu(x: mx.array) -> Pair:
    sigmoid = _sigmoid(x)
    return x * sigmoid, sigmoid


@_silu.vjp
def _silu_backward(x: mx.array, cotangents: Pair, outputs: Pair) -> mx.array:
    product, sigmoid = outputs
    return cotangents[0] * (sigmoid + product * (1.0 - sigmoid))


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """silu(gate) · x. Its gradient keeps these two of an MLP's widest arrays, and computes the sigmoid again."""
    if gate.size < WORTHWHILE or {gate.dtype, x.dtype} != {mx.float32} or gate.shape != x.shape:
        return cast(mx.array, _stock_swiglu(gate, x))
    return cast(mx.array, _swiglu(gate, x))


@mx.custom_function
def _swiglu(gate: mx.array, x: mx.array) -> mx.array:
    return gate * _sigmoid(gate) * x


@_swiglu.vjp
def _swiglu_backward(primals: Pair, cotangent: mx.array, output: mx.array) -> Pair:
    gate, x = primals
    # Depends on the gradient, so that MLX doesn't compute it early and keep it.
    sigmoid = _sigmoid(mx.depends(gate, cotangent))
    product = gate * sigmoid
    return cotangent * x * (sigmoid + product * (1.0 - sigmoid)), cotangent * product


def _sigmoid(x: mx.array) -> mx.array:
    return mx.reciprocal(exp2(mx.minimum(x * -_LOG2_E, _MOST)) + 1.0)


def cross_entropy(logits: mx.array, targets: mx.array) -> mx.array:
    """The loss of each row in nats, (n,). `logits`: (n, vocabulary); differentiable, with one exponential a logit."""
    places = targets[:, None]

    @mx.custom_function
    def losses_and_shares(logits: mx.array) -> Pair:
        highest = logits.max(axis=-1, keepdims=True)
        shares = exp2((logits - highest) * _LOG2_E)
        total = shares.sum(axis=-1, keepdims=True)
        losses = mx.log(total) + highest - mx.take_along_axis(logits, places, axis=-1)
        return losses[:, 0], shares / total

    @losses_and_shares.vjp
    def _backward(logits: mx.array, cotangents: Pair, outputs: Pair) -> mx.array:
        weights = cotangents[0][:, None]
        gradient = outputs[1] * weights
        at_targets = mx.take_along_axis(gradient, places, axis=-1) - weights
        return mx.put_along_axis(gradient, places, at_targets, axis=-1)

    losses, _ = cast(Pair, losses_and_shares(logits))
    return losses


def attention(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    *,
    scale: float,
    mask: str | mx.array | None = None,
    sinks: mx.array | None = None,
    force_fused: bool = False,
    stream: Any = None,
) -> mx.array:
    """softmax(scale · q kᵀ) v, as `mx.fast.scaled_dot_product_attention`.

    q: (rows, heads, queries, dim); k, v: (rows, key heads, keys, dim). `mask` is None, "causal" (the last
    query sees the last key), or true where a key is seen, of shape (rows or 1, 1, queries or 1, keys or 1). MLX
    computes anything else.
    """
    few = q.shape[1] * q.shape[2] * k.shape[2] < WORTHWHILE
    seen = mask if isinstance(mask, mx.array) else None
    if seen is not None:
        known = seen.dtype == mx.bool_ and seen.ndim == 4 and seen.shape[1] == 1
    else:
        known = mask in (None, "causal")
    special = sinks is not None or force_fused or stream is not None
    if few or not known or special or {q.dtype, k.dtype, v.dtype} != {mx.float32}:
        return _stock_attention(q, k, v, scale=scale, mask=mask, sinks=sinks, force_fused=force_fused, stream=stream)
    if seen is not None:
        seen = mx.broadcast_to(seen, (q.shape[0], *seen.shape[1:]))
    plan = _Plan(q.shape, k.shape, scale, causal=mask is not None and seen is None)
    outputs: list[mx.array] = []
    for row in range(q.shape[0]):
        part = slice(row, row + 1)
        # Each row waits for the one before it, because several rows at once don't fit the processor's cache.
        own = mx.depends(q[part], outputs[-1:]) if outputs else q[part]
        outputs.append(plan.attend(own, k[part], v[part], None if seen is None else seen[part]))
    return mx.concatenate(outputs)


def _after(x: mx.array, earlier: Sequence[mx.array]) -> mx.array:
    """`x`, which is computed with only when the last of `earlier` are."""
    return cast(list[mx.array], mx.depends([x], list(earlier)))[0] if earlier else x


@dataclass(frozen=True, slots=True)
class _Block:
    """Queries `start` to `stop`, which see only the first `keys` keys. `bias` is added to their scores."""

    start: int
    stop: int
    keys: int
    bias: mx.array | None


class _Plan:
    """One row's attention: its shapes and blocks. Heads that share keys are rows of one product."""

    def __init__(self, q: Sequence[int], k: Sequence[int], scale: float, *, causal: bool) -> None:
        heads, self.queries = q[1], q[2]
        self.key_heads, self.keys = k[1], k[2]
        self.group = heads // self.key_heads
        self.scale = scale
        self._causal = causal

    def attend(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None) -> mx.array:
        """The output, (1, heads, queries, value dim)."""

        @mx.custom_function
        def forward(q: mx.array, k: mx.array, v: mx.array) -> Pair:
            outputs: list[mx.array] = []
            normalizers: list[mx.array] = []
            for block in self._blocks(mask):
                # Each block waits for the one before it. Otherwise the scores of many would exist at the same time.
                scores = self._scores(block, _after(q, outputs[-1:]), k)
                highest = scores.max(axis=-1, keepdims=True)
                shares = exp2(scores - highest)
                total = shares.sum(axis=-1, keepdims=True)
                outputs.append(self._unfold(block, (shares @ v[:, :, : block.keys]) / total))
                normalizers.append(self._unfold(block, highest + mx.log2(total)))
            return mx.concatenate(outputs, axis=2), mx.concatenate(normalizers, axis=2)

        @forward.vjp
        def _backward(
            primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
        ) -> tuple[mx.array, ...]:
            _, k, v = primals
            output, normalizer = outputs
            inner = (cotangents[0] * output).sum(axis=-1, keepdims=True)
            of_queries: list[mx.array] = []
            of_keys, of_values = mx.zeros_like(k), mx.zeros_like(v)
            for block in self._blocks(mask):
                q, cotangent = (_after(x, [*of_queries[-1:], of_keys, of_values]) for x in (primals[0], cotangents[0]))
                shares = exp2(self._scores(block, q, k) - self._fold(block, normalizer))
                cotangent = self._fold(block, cotangent)
                of_shares = cotangent @ v[:, :, : block.keys].swapaxes(-1, -2)
                of_scores = shares * (of_shares - self._fold(block, inner))
                of_queries.append(self._unfold(block, of_scores @ k[:, :, : block.keys]) * self.scale)
                queries = self._fold(block, q) * self.scale
                of_keys = self._added(of_keys, block, of_scores.swapaxes(-1, -2) @ queries)
                of_values = self._added(of_values, block, shares.swapaxes(-1, -2) @ cotangent)
            return mx.concatenate(of_queries, axis=2), of_keys, of_values

        output, _ = cast(Pair, forward(q, k, v))
        return output

    def _blocks(self, mask: mx.array | None) -> Iterator[_Block]:
        within = max(FEWEST, SCORES // self.keys)
        size = min(BLOCK, within) if self._causal else min(self.queries, within)
        before = self.keys - self.queries
        for start in range(0, self.queries, size):
            stop = min(start + size, self.queries)
            keys = before + stop if self._causal else self.keys
            yield _Block(start, stop, keys, self._bias(start, stop, keys, mask))

    def _bias(self, start: int, stop: int, keys: int, mask: mx.array | None) -> mx.array | None:
        """(1, 1, group · queries, keys): 0 where a key is seen."""
        if self._causal:
            last = mx.arange(start, stop) + (self.keys - self.queries)
            seen = mx.arange(keys) <= last[:, None]
        elif mask is not None:
            seen = mx.broadcast_to(mask, (1, 1, self.queries, self.keys))[:, :, start:stop]
        else:
            return None
        bias = mx.where(seen, 0.0, _HIDDEN)
        return mx.concatenate([bias] * self.group, axis=-2)

    def _scores(self, block: _Block, q: mx.array, k: mx.array) -> mx.array:
        """(1, key heads, group · queries, keys), as exponents of two."""
        scores = (self._fold(block, q) * (self.scale * _LOG2_E)) @ k[:, :, : block.keys].swapaxes(-1, -2)
        return scores if block.bias is None else scores + block.bias

    def _fold(self, block: _Block, x: mx.array) -> mx.array:
        """(1, heads, all queries, n) to the block's (1, key heads, group · queries, n)."""
        heads = x.reshape(1, self.key_heads, self.group, self.queries, -1)[:, :, :, block.start : block.stop]
        return heads.reshape(1, self.key_heads, self.group * (block.stop - block.start), -1)

    def _unfold(self, block: _Block, x: mx.array) -> mx.array:
        return x.reshape(1, self.key_heads * self.group, block.stop - block.start, -1)

    def _added(self, total: mx.array, block: _Block, part: mx.array) -> mx.array:
        """`total` (1, key heads, keys, n) plus the block's part for its first keys."""
        if block.keys == self.keys:
            return total + part
        return total + mx.pad(part, [(0, 0), (0, 0), (0, self.keys - block.keys), (0, 0)])
