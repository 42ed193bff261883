"""GGUF's numbers in MLX's form, without rounding any.

A block of Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0 is 32 codes with a scale, which is what MLX's affine quantization has in
groups of 32: w = scale * code + bias, with codes from 0. Q4_0 counts its codes from -8, Q5_0 from -16 and Q8_0 from
-128, so their biases are these numbers times the scale: exact in float16, because only the exponent changes. The
layouts are those of ggml's `block_q4_0`, `block_q4_1`, `block_q5_0`, `block_q5_1` and `block_q8_0`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.model.codes import pack as mlx_words

__all__ = ["BITS", "GROUP", "READABLE", "NotExact", "Packed", "pack", "plain"]

Bytes = NDArray[np.uint8]
Halves = NDArray[np.float16]

GROUP = 32
"""The numbers of a block, and of a group."""

BITS = {"Q4_0": 4, "Q4_1": 4, "Q5_0": 5, "Q5_1": 5, "Q8_0": 8}
"""The bits of a code, by kind."""

_PLAIN = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}

READABLE = (*_PLAIN, *BITS)
"""The kinds that are read."""


class NotExact(Exception):
    """A number that isn't finite, or whose bias float16 doesn't hold."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix as MLX packs it: words of shape (rows, columns * bits / 32); a scale and a bias for each group."""

    weight: mx.array
    scales: mx.array
    biases: mx.array


def plain(kind: str, rows: Bytes) -> mx.array:
    """Numbers that aren't quantized, of shape (rows, columns). Raises NotExact if one isn't finite."""
    if kind == "BF16":
        numbers = mx.array(rows.view("<u2")).view(mx.bfloat16)
    else:
        numbers = mx.array(rows.view("<f4" if kind == "F32" else "<f2"))
    if not mx.isfinite(numbers).all().item():
        raise NotExact
    return numbers


def pack(kind: str, rows: Bytes) -> Packed:
    """The rows of a quantized matrix. Raises NotExact for a scale that no finite number is."""
    codes, scales, biases = _READERS[kind](rows)
    if not (np.isfinite(scales).all() and np.isfinite(biases).all()):
        raise NotExact
    words = np.ascontiguousarray(codes).reshape(len(rows), -1).view("<u4")
    return Packed(mx.array(words), mx.array(scales), mx.array(biases))


def _q4_0(rows: Bytes) -> tuple[Bytes, Halves, Halves]:
    blocks = rows.reshape(len(rows), -1, 18)
    scales = _half(blocks, 0)
    return _nibbles(blocks[..., 2:]), scales, _times(scales, -8)


def _q4_1(rows: Bytes) -> tuple[Bytes, Halves, Halves]:
    blocks = rows.reshape(len(rows), -1, 20)
    return _nibbles(blocks[..., 4:]), _half(blocks, 0), _half(blocks, 2)


def _q8_0(rows: Bytes) -> tuple[Bytes, Halves, Halves]:
    blocks = rows.reshape(len(rows), -1, 34)
    scales = _half(blocks, 0)
    return blocks[..., 2:] ^ np.uint8(0x80), scales, _times(scales, -128)  # from -128..127 to 0..255


def _q5_0(rows: Bytes) -> tuple[Bytes, Halves, Halves]:
    blocks = rows.reshape(len(rows), -1, 22)
    scales = _half(blocks, 0)
    return _five_bits(blocks[..., 2:6], blocks[..., 6:]), scales, _times(scales, -16)


def _q5_1(rows: Bytes) -> tuple[Bytes, Halves, Halves]:
    blocks = rows.reshape(len(rows), -1, 24)
    return _five_bits(blocks[..., 4:8], blocks[..., 8:]), _half(blocks, 0), _half(blocks, 2)


_READERS: dict[str, Callable[[Bytes], tuple[Bytes, Halves, Halves]]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
}


def _half(blocks: Bytes, place: int) -> Halves:
    """The float16 at this place of each block."""
    return np.ascontiguousarray(blocks[..., place : place + 2]).view("<f2")[..., 0]


def _times(scales: Halves, factor: int) -> Halves:
    """`factor` times the scales; infinite where float16 overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return scales * np.float16(factor)


def _nibbles(codes: Bytes) -> Bytes:
    """ggml's byte j has the codes j and j + 16 of its block; MLX's has 2j and 2j + 1."""
    ordered = np.concatenate([codes & np.uint8(0x0F), codes >> np.uint8(4)], axis=-1)
    return ordered[..., 0::2] | ordered[..., 1::2] << np.uint8(4)


def _five_bits(highs: Bytes, lows: Bytes) -> Bytes:
    """ggml keeps the lowest four bits of codes as nibbles, and the fifth of code j as bit j of a word."""
    four = np.concatenate([lows & np.uint8(0x0F), lows >> np.uint8(4)], axis=-1)
    fifth = np.unpackbits(highs, axis=-1, bitorder="little")
    codes = four | fifth << np.uint8(4)
    return mlx_words(codes.reshape(len(codes), -1), 5).view(np.uint8)
