from __future__ import annotations

import struct
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from tests.support.gguf_files import BLOCKS, dequantized, stored, write_gguf
from topcoat.engine.mlx.gguf.blocks import BITS, GROUP, NotExact, pack, plain


def rows_of(kind: str, shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a random matrix, and its numbers."""
    tensor = stored(kind, shape, seed)
    return np.frombuffer(tensor[2], np.uint8).reshape(shape[0], -1), dequantized(tensor)


@pytest.mark.parametrize("kind", sorted(BITS))
def test_a_packed_matrix_has_the_numbers_of_its_blocks(kind: str) -> None:
    rows, numbers = rows_of(kind, (5, 96))
    packed = pack(kind, rows)
    scales, biases = packed.scales.astype(mx.float32), packed.biases.astype(mx.float32)
    read = mx.dequantize(packed.weight, scales, biases, group_size=GROUP, bits=BITS[kind])
    np.testing.assert_array_equal(np.array(read), numbers)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_the_arrays_are_those_that_mlx_itself_reads(kind: str, tmp_path: Path) -> None:
    rows, _ = rows_of(kind, (7, 64), seed=3)
    write_gguf(tmp_path / "one.gguf", {"general.name": "one"}, {"a.weight": (kind, (7, 64), rows.tobytes())})
    read = mx.load(str(tmp_path / "one.gguf"))
    assert isinstance(read, dict)
    packed = pack(kind, rows)
    for part in ("weight", "scales", "biases"):
        assert mx.array_equal(read[f"a.{part}"], getattr(packed, part)).item(), part


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_plain_numbers_stay_as_they_are(kind: str) -> None:
    rows, numbers = rows_of(kind, (3, 40))
    read = plain(kind, rows)
    assert read.dtype == {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}[kind]
    np.testing.assert_array_equal(np.array(read.astype(mx.float32)), numbers)


@pytest.mark.parametrize("kind", sorted(BITS))
@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_a_scale_that_is_no_number_is_refused(kind: str, scale: float) -> None:
    rows = rows_of(kind, (2, 64))[0].copy()
    rows[1, :2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    with pytest.raises(NotExact):
        pack(kind, rows)


def test_a_scale_whose_bias_float16_does_not_hold_is_refused() -> None:
    rows = rows_of("Q8_0", (2, 64))[0].copy()
    rows[0, :2] = np.frombuffer(np.float16(511.5).tobytes(), np.uint8)
    assert float(pack("Q8_0", rows).biases.min()) == -128 * 511.5
    rows[0, :2] = np.frombuffer(np.float16(512).tobytes(), np.uint8)
    with pytest.raises(NotExact):
        pack("Q8_0", rows)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_plain_numbers_that_are_none_are_refused(kind: str) -> None:
    size = BLOCKS[kind][2]
    nan = {"F32": struct.pack("<f", np.nan), "F16": struct.pack("<e", np.nan), "BF16": b"\xc0\x7f"}[kind]
    rows = np.frombuffer(bytes(size * 3) + nan, np.uint8).reshape(2, 2 * size)
    with pytest.raises(NotExact):
        plain(kind, rows)
