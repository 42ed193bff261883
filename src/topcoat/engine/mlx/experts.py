"""Products with a mixture's experts for MLX's CPU backend: one for each block of tokens that share an expert.

MLX's CPU `gather_mm` goes token by token, and each of them reads its expert's whole matrix again. Here the tokens of
each expert fill whole blocks, the last one up with zeros, and each block is one product. How many blocks there are
depends on the shapes alone: nothing has to be read from a graph half-way, so that it can be differentiated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx

__all__ = ["block_size", "gather_mm"]

LEAST, MOST = 16, 64
"""Tokens in a block. Smaller products take longer a token, in larger blocks more is zeros."""

_stock_gather_mm = mx.gather_mm


def gather_mm(
    a: mx.array,
    b: mx.array,
    /,
    lhs_indices: mx.array | None = None,
    rhs_indices: mx.array | None = None,
    *,
    sorted_indices: bool = False,
    stream: Any = None,
) -> mx.array:
    """a[i] @ b[rhs_indices[i]], as `mx.gather_mm`.

    Block by block if a is (tokens, 1, in) and b (experts, in, out), both float32, and `rhs_indices` (tokens,) and
    sorted. Anything else is left to MLX.
    """
    if (
        rhs_indices is None
        or lhs_indices is not None
        or not sorted_indices
        or stream is not None
        or rhs_indices.shape != a.shape[:1]
        or not mx.issubdtype(rhs_indices.dtype, mx.integer)
        or (a.ndim, b.ndim) != (3, 3)
        or a.shape[1] != 1
        or {a.dtype, b.dtype} != {mx.float32}
    ):
        return _stock_gather_mm(a, b, lhs_indices, rhs_indices, sorted_indices=sorted_indices, stream=stream)
    blocks = _Blocks.of(rhs_indices, b.shape[0])

    @mx.custom_function
    def product(a: mx.array, weights: mx.array) -> mx.array:
        # The other way round: large matrices are read faster in the order in which they lie.
        columns = blocks.spread(a).swapaxes(-1, -2)
        return blocks.gathered(_stock_gather_mm(weights, columns, lhs_indices=blocks.experts).swapaxes(-1, -2))

    @product.vjp
    def _backward(primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        a, weights = primals
        direction = blocks.spread(cotangent)
        of_weights = direction.swapaxes(-1, -2) @ blocks.spread(a)
        return (
            blocks.gathered(_stock_gather_mm(direction, weights, rhs_indices=blocks.experts)),
            mx.zeros(weights.shape).at[blocks.experts].add(of_weights),
        )

    # As the layer has its weights, (experts, out, in).
    return cast(mx.array, product(a[:, 0], b.swapaxes(-1, -2)))[:, None]


def block_size(tokens: int, experts: int) -> int:
    """How many tokens a block holds: about a quarter of what an expert serves, so that an eighth of it stays empty."""
    share = max(1, tokens // (4 * experts))
    return min(MOST, max(LEAST, 1 << (share.bit_length() - 1)))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Where the tokens stand once those of each expert fill whole blocks."""

    size: int
    """Tokens in a block."""

    slots: mx.array
    """(tokens,): where each token goes."""

    tokens: mx.array
    """(blocks * size,): the token in each slot; in an empty one, the number of tokens."""

    experts: mx.array
    """(blocks,): the expert of each block; of the blocks that are left over, the last one."""

    @classmethod
    def of(cls, indices: mx.array, experts: int) -> _Blocks:
        """The blocks for the experts of the tokens, (tokens,) and sorted."""
        (tokens,) = indices.shape
        size = block_size(tokens, experts)
        order = mx.arange(tokens, dtype=mx.int32)
        served = mx.zeros((experts,), mx.int32).at[indices].add(1)
        filled = (served + size - 1) // size
        ends = mx.cumsum(filled)
        shift = (ends - filled) * size - (mx.cumsum(served) - served)
        slots = order + shift[indices]
        # Each expert leaves at most one block unfilled: never more blocks than these.
        most = tokens // size + min(experts, tokens)
        begun = mx.arange(most, dtype=mx.int32)[:, None] >= ends
        back = mx.full((most * size,), tokens, mx.int32)
        back[slots] = order
        return cls(size, slots, back, mx.minimum(begun.sum(axis=1), experts - 1).astype(mx.uint32))

    def spread(self, a: mx.array) -> mx.array:
        """a, (tokens, width), as (blocks, size, width), zero where no token stands."""
        with_zero = mx.concatenate([a, mx.zeros((1, a.shape[1]))])
        return with_zero[self.tokens].reshape(-1, self.size, a.shape[1])

    def gathered(self, a: mx.array) -> mx.array:
        """What `spread` spread: the tokens' rows, (tokens, width), of (blocks, size, width)."""
        return a.reshape(-1, a.shape[-1])[self.slots]
