"""The codes of quantized weights, packed as MLX packs them and unpacked."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Codes in MLX's format: each row is one stream of bits, the lowest bit first, in little-endian words."""
    stream = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little").reshape(len(codes), -1)
    return np.packbits(stream, axis=1, bitorder="little").view("<u4")


def unpack(words: mx.array, bits: int, group_size: int) -> NDArray[np.uint8]:
    """The codes of packed words (rows, columns * bits / 32), of shape (rows, columns)."""
    groups = words.shape[-1] * 32 // bits // group_size
    ones = mx.ones((*words.shape[:-1], groups))
    return np.array(mx.dequantize(words, ones, mx.zeros_like(ones), group_size=group_size, bits=bits).astype(mx.uint8))
