"""MLX's numbers as GGUF's, the way back of `gguf.blocks`.

MLX's affine quantization is w = scale * code + bias, for groups of 32, 64 or 128. A group is one or several blocks of
32 with the same scale and bias, so its codes are kept: of up to 4 bits in Q4_1, of 5 in Q5_1. Where every bias is the
multiple of its scale that Q4_0, Q5_0 or Q8_0 imply, these are used, which need no bias. Blocks hold scales in float16.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.export.tensors import Packing
from topcoat.engine.mlx.gguf.blocks import GROUP
from topcoat.engine.mlx.model.codes import unpack
from topcoat.engine.mlx.model.lora import Weights

__all__ = ["PLAIN", "block_kind", "blocks", "numbers_of", "plain_bytes"]

Bytes = NDArray[np.uint8]
Halves = NDArray[np.float16]

PLAIN = {mx.float32: "F32", mx.float16: "F16", mx.bfloat16: "BF16"}
_ZERO = {"Q4_0": 8, "Q5_0": 16, "Q8_0": 128}
"""What is subtracted from a code, by kind."""
_KINDS = {2: ("", "Q4_1"), 3: ("", "Q4_1"), 4: ("Q4_0", "Q4_1"), 5: ("Q5_0", "Q5_1"), 8: ("Q8_0", "")}
"""By bits: the kind without biases, and the one with them."""


def block_kind(packing: Packing, tensors: Weights, width: int) -> str | None:
    """The kind of blocks that keeps the codes of a packed matrix with rows of this width; None if there is none."""
    if packing.mode != "affine" or packing.bits not in _KINDS or packing.group_size % GROUP or width % GROUP:
        return None
    scales, biases = (_halves(tensors[part]) for part in ("scales", "biases"))
    if not (np.isfinite(scales).all() and np.isfinite(biases).all()):
        return None
    implied, other = _KINDS[packing.bits]
    # Exact in float16 or infinite: only the exponent changes.
    with np.errstate(over="ignore"):
        follows = implied and bool((biases == scales * np.float16(-_ZERO[implied])).all())
    return implied if follows else other or None


def blocks(kind: str, packing: Packing, tensors: Weights) -> Bytes:
    """The blocks of a packed matrix, of shape (rows, bytes of a row)."""
    words = tensors["weight"]
    flat = words.reshape(-1, words.shape[-1])
    codes = unpack(flat, packing.bits, packing.group_size).reshape(len(flat), -1, GROUP)
    repeats = packing.group_size // GROUP
    scales, biases = (
        np.repeat(_halves(tensors[part]).reshape(len(flat), -1), repeats, axis=1) for part in ("scales", "biases")
    )
    heads = [_bytes(scales)] if kind in _ZERO else [_bytes(scales), _bytes(biases)]
    if kind == "Q8_0":
        body = [codes ^ np.uint8(0x80)]  # from 0..255 to -128..127
    else:
        low, high = codes[..., :16], codes[..., 16:]
        nibbles = (low & np.uint8(0x0F)) | (high & np.uint8(0x0F)) << np.uint8(4)
        body = [np.packbits(codes >> np.uint8(4), axis=-1, bitorder="little")] if kind.startswith("Q5") else []
        body.append(nibbles)
    return np.ascontiguousarray(np.concatenate([*heads, *body], axis=-1)).reshape(len(flat), -1)


def numbers_of(packing: Packing, tensors: Weights, *, halves: bool) -> mx.array:
    """The numbers of a packed matrix, float32. `halves`: with scales and biases as blocks have them."""
    scales, biases = tensors["scales"], tensors["biases"]
    if halves:
        scales, biases = scales.astype(mx.float16), biases.astype(mx.float16)
    return mx.dequantize(
        tensors["weight"],
        scales.astype(mx.float32),
        biases.astype(mx.float32),
        group_size=packing.group_size,
        bits=packing.bits,
    )


def plain_bytes(numbers: mx.array) -> Bytes:
    """Numbers in float32, float16 or bfloat16 as bytes, of shape (rows, bytes of a row)."""
    flat = numbers.reshape(-1, numbers.shape[-1])
    return np.array(flat.view(mx.uint8))


def _halves(array: mx.array) -> Halves:
    return np.array(array.astype(mx.float16))


def _bytes(halves: Halves) -> Bytes:
    return np.ascontiguousarray(halves)[..., None].view(np.uint8)
