"""A mixture's experts for MLX's CPU backend: one product for each block of tokens that share an expert.

mlx-lm sorts tokens by their experts. MLX's CPU `gather_mm` multiplies them one at a time, and reads the expert's whole
matrix for each. Here the tokens of each expert fill whole blocks, and the same modules multiply block by block. The
number of blocks depends on the shapes alone, so the graph never has to be evaluated half-way, and it can be
differentiated. Quantized experts are left to mlx-lm, because MLX's CPU kernels take them row by row anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.switch_layers import SwitchGLU, SwitchLinear, SwitchMLP

__all__ = ["Blocks", "block_size", "gather_mm", "replacing"]

LEAST, MOST = 16, 64
"""The most tokens in a block. Smaller products take longer a token; larger blocks leave more slots empty."""

FEWEST = 64
"""With fewer pairs of a token and its expert, mlx-lm multiplies. mlx-lm sorts from this number on too."""

_stock_glu, _stock_mlp = SwitchGLU.__call__, SwitchMLP.__call__
_stock_gather_mm = mx.gather_mm


@contextmanager
def replacing() -> Iterator[None]:
    """During the `with` block, mlx-lm's mixtures multiply block by block."""
    SwitchGLU.__call__, SwitchMLP.__call__, mx.gather_mm = _glu, _mlp, gather_mm
    try:
        yield
    finally:
        SwitchGLU.__call__, SwitchMLP.__call__, mx.gather_mm = _stock_glu, _stock_mlp, _stock_gather_mm


def _glu(self: Any, x: mx.array, indices: mx.array) -> mx.array:
    """`SwitchGLU`: x (..., width) and indices (..., chosen) to (..., chosen, width)."""
    experts = _plain_experts(self.up_proj, self.gate_proj, self.down_proj)
    if not experts or indices.size < FEWEST:
        return cast(mx.array, _stock_glu(self, x, indices))
    blocks = Blocks.of(indices, experts)
    a = blocks.spread(x)
    hidden = self.activation(self.up_proj(a, blocks.experts), self.gate_proj(a, blocks.experts))
    return blocks.gathered(self.down_proj(hidden, blocks.experts))


def _mlp(self: Any, x: mx.array, indices: mx.array) -> mx.array:
    """`SwitchMLP`, of the same shapes."""
    experts = _plain_experts(self.fc1, self.fc2)
    if not experts or indices.size < FEWEST:
        return cast(mx.array, _stock_mlp(self, x, indices))
    blocks = Blocks.of(indices, experts)
    hidden = self.activation(self.fc1(blocks.spread(x), blocks.experts))
    return blocks.gathered(self.fc2(hidden, blocks.experts))


def gather_mm(
    a: mx.array,
    b: mx.array,
    /,
    lhs_indices: mx.array | None = None,
    rhs_indices: mx.array | None = None,
    **options: Any,
) -> mx.array:
    """`mx.gather_mm`, faster for blocks of one expert each. MLX scatters their gradient over rows in order.

    The shapes of blocks are (blocks, size, in) for a, (experts, in, out) for b and (blocks,) for `rhs_indices`.
    """
    if (
        rhs_indices is None
        or lhs_indices is not None
        or (a.ndim, b.ndim) != (3, 3)
        or a.shape[1] < LEAST
        or rhs_indices.shape != a.shape[:1]
    ):
        return _gather_mm(a, b, lhs_indices, rhs_indices, **options)

    @mx.custom_function
    def product(a: mx.array, b: mx.array) -> mx.array:
        # Transposed, because wide weights are read faster in their order in memory.
        columns, rows = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
        return _gather_mm(rows, columns, lhs_indices=rhs_indices, **options).swapaxes(-1, -2)

    @product.vjp
    def _backward(primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        a, b = primals
        of_a = _gather_mm(cotangent, b.swapaxes(-1, -2), rhs_indices=rhs_indices, **options)
        of_b = (a.swapaxes(-1, -2) @ cotangent).astype(b.dtype)
        return of_a.astype(a.dtype), mx.zeros_like(b).at[rhs_indices].add(of_b)

    return cast(mx.array, product(a, b))


def _gather_mm(a: mx.array, b: mx.array, *indices: mx.array | None, **options: Any) -> mx.array:
    """MLX's own `gather_mm`. Its CPU kernel takes float32 alone, so other types are computed in float32."""
    product = _stock_gather_mm(a.astype(mx.float32), b.astype(mx.float32), *indices, **options)
    return product.astype(mx.result_type(a, b))


def _plain_experts(*modules: nn.Module) -> int:
    """The number of experts in the modules, with or without LoRA. 0 if some are quantized."""
    linears = [getattr(module, "linear", module) for module in modules]
    return linears[0].num_experts if all(isinstance(linear, SwitchLinear) for linear in linears) else 0


def block_size(pairs: int, experts: int) -> int:
    """The tokens in a block: about a quarter of an expert's, so that about an eighth of the slots stays empty."""
    share = max(1, pairs // (4 * experts))
    return min(MOST, max(LEAST, 1 << (share.bit_length() - 1)))


@dataclass(frozen=True, slots=True)
class Blocks:
    """The places of the pairs of a token and its expert, if the pairs of each expert fill whole blocks."""

    slots: mx.array
    """(..., chosen): the slot of each pair."""

    pairs: mx.array
    """(blocks, size): the pair in each slot. An empty slot has the number of pairs."""

    experts: mx.array
    """(blocks,): the expert of each block. Unused blocks have the last expert."""

    @classmethod
    def of(cls, indices: mx.array, experts: int) -> Blocks:
        """The blocks for the chosen experts of each token, (..., chosen)."""
        indices = mx.stop_gradient(indices)
        size = block_size(indices.size, experts)
        pairs = indices.flatten()
        order = mx.argsort(pairs)
        chosen = pairs[order]
        served = mx.zeros((experts,), mx.int32).at[chosen].add(1)
        filled = (served + size - 1) // size
        ends = mx.cumsum(filled)
        shift = (ends - filled) * size - (mx.cumsum(served) - served)
        taken = mx.arange(pairs.size, dtype=mx.int32) + shift[chosen]
        # Each expert leaves at most one block unfilled, so there are never more blocks than these.
        most = pairs.size // size + min(experts, pairs.size)
        begun = mx.arange(most, dtype=mx.int32)[:, None] >= ends
        slots, held = mx.zeros((pairs.size,), mx.int32), mx.full((most * size,), pairs.size, mx.int32)
        slots[order] = taken
        held[taken] = order.astype(mx.int32)
        return cls(
            slots.reshape(indices.shape),
            held.reshape(most, size),
            mx.minimum(begun.sum(axis=1), experts - 1).astype(mx.uint32),
        )

    def spread(self, x: mx.array) -> mx.array:
        """x, (..., width), as (blocks, size, width). An empty slot has some token's row, which nothing reads."""
        tokens = mx.minimum(self.pairs, self.slots.size - 1) // self.slots.shape[-1]

        @mx.custom_function
        def spread(x: mx.array) -> mx.array:
            return x.reshape(-1, x.shape[-1])[tokens]

        @spread.vjp
        def _backward(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
            return cotangent.reshape(-1, x.shape[-1])[self.slots].sum(axis=-2)

        return cast(mx.array, spread(x))

    def gathered(self, a: mx.array) -> mx.array:
        """a, (blocks, size, width), as (..., chosen, width)."""

        @mx.custom_function
        def gathered(a: mx.array) -> mx.array:
            return a.reshape(-1, a.shape[-1])[self.slots]

        @gathered.vjp
        def _backward(a: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
            rows = cotangent.reshape(-1, a.shape[-1])
            return mx.concatenate([rows, mx.zeros((1, a.shape[-1]), rows.dtype)])[self.pairs]

        return cast(mx.array, gathered(a))
