"""The shapes of models that people use: how many weights they have, and what a token takes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BITS", "GROUP", "RANK", "SHAPES", "Shape"]

BITS, GROUP, RANK = 4, 64, 8
_STORED = (BITS + 32 / GROUP) / 8
"""Bytes of a quantized weight: its code, and its part of its group's scale and bias in 16 bits each."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen model: widths, heads and, in a mixture, experts, of which each token has `active` ones `inner` wide.

    Biases and the weights of norms are left out: they are less than a thousandth.
    """

    model: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int = 128
    experts: int = 0
    active: int = 0
    tied: bool = False
    vocabulary: int = 151_936

    @property
    def matrices(self) -> list[tuple[int, int, int]]:
        """The matrices of a layer: how many there are, inputs, outputs."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        attention = [(1, self.hidden, queries), (2, self.hidden, keys), (1, queries, self.hidden)]
        router = [(1, self.hidden, self.experts)] if self.experts else []
        count = max(1, self.experts)
        return [*attention, *router, (2 * count, self.hidden, self.inner), (count, self.inner, self.hidden)]

    @property
    def layer(self) -> int:
        """The weights of a layer."""
        return sum(count * inputs * outputs for count, inputs, outputs in self.matrices)

    @property
    def active_layer(self) -> int:
        """The weights of a layer that a token is multiplied with."""
        idle = (self.experts - self.active) * 3 * self.hidden * self.inner if self.experts else 0
        return self.layer - idle

    @property
    def head_weights(self) -> int:
        """The weights of the head. The embedding has as many, or is the same."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.layers * self.layer + self.head_weights * (1 if self.tied else 2)

    @property
    def stored(self) -> int:
        """Bytes of the model's files in 4 bits."""
        return round(self.parameters * _STORED)

    @property
    def adapter(self) -> int:
        """The numbers of one layer's adapter. Each expert has its own."""
        return sum(count * RANK * (inputs + outputs) for count, inputs, outputs in self.matrices)

    def held(self, adapted: int, *, dequantized: bool) -> int:
        """Bytes of the weights that training holds: those of the adapted layers, and of the head."""
        return round((adapted * self.layer + self.head_weights) * (4 if dequantized else _STORED))


SHAPES = {
    "0.5B": Shape("Qwen2.5-0.5B", 24, 896, 4864, 14, 2, 64, tied=True),
    "1.5B": Shape("Qwen2.5-1.5B", 28, 1536, 8960, 12, 2, tied=True),
    "4B": Shape("Qwen3-4B", 36, 2560, 9728, 32, 8, tied=True),
    "8B": Shape("Qwen3-8B", 36, 4096, 12288, 32, 8),
    "14B": Shape("Qwen3-14B", 40, 5120, 17408, 40, 8),
    "32B": Shape("Qwen3-32B", 64, 5120, 25600, 64, 8),
    "30B-A3B": Shape("Qwen3-30B-A3B", 48, 2048, 768, 32, 4, experts=128, active=8),
}
