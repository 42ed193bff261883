from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gguf_files import BLOCKS, dequantized, stored
from topcoat.engine.mlx.export.gguf_blocks import block_kind, blocks, numbers_of, plain_bytes
from topcoat.engine.mlx.export.tensors import Packing
from topcoat.engine.mlx.gguf.blocks import BITS, GROUP, pack, plain


def packed(bits: int, group_size: int, shape: tuple[int, int], seed: int, dtype: mx.Dtype) -> dict[str, mx.array]:
    mx.random.seed(seed)
    weight, scales, biases = mx.quantize(mx.random.normal(shape).astype(dtype), group_size=group_size, bits=bits)
    return {"weight": weight, "scales": scales, "biases": biases}


@settings(max_examples=25)
@given(
    st.sampled_from([2, 3, 4, 5]),
    st.sampled_from([32, 64, 128]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 1000),
)
def test_blocks_have_the_numbers_of_the_groups(bits: int, group_size: int, rows: int, groups: int, seed: int) -> None:
    """Whatever the bits and the group, no code changes, and float16 scales make the same numbers."""
    packing = Packing(bits, group_size, "affine")
    tensors = packed(bits, group_size, (rows, groups * 128), seed, mx.float16)
    kind = block_kind(packing, tensors, groups * 128)
    assert kind in (f"Q{max(4, bits)}_0", f"Q{max(4, bits)}_1")
    data = blocks(kind, packing, tensors).tobytes()
    np.testing.assert_array_equal(
        dequantized((kind, (rows, groups * 128), data)), np.array(numbers_of(packing, tensors, halves=False))
    )


@pytest.mark.parametrize("kind", sorted(BITS))
def test_what_was_read_of_blocks_becomes_the_same_blocks(kind: str) -> None:
    rows = np.frombuffer(stored(kind, (5, 96), 7)[2], np.uint8).reshape(5, -1)
    read = pack(kind, rows)
    tensors = {"weight": read.weight, "scales": read.scales, "biases": read.biases}
    packing = Packing(BITS[kind], GROUP, "affine")
    # Random blocks of Q4_1 happen to have the biases of Q4_0, which is shorter and means the same.
    found = block_kind(packing, tensors, 96)
    assert found in (kind, kind.replace("_1", "_0"))
    assert found is not None
    written = blocks(found, packing, tensors)
    if found == kind:
        np.testing.assert_array_equal(written, rows)
    np.testing.assert_array_equal(
        dequantized((found, (5, 96), written.tobytes())), dequantized((kind, (5, 96), rows.tobytes()))
    )


@pytest.mark.parametrize(
    ("packing", "width"),
    [
        (Packing(6, 64, "affine"), 64),
        (Packing(8, 64, "affine"), 64),
        (Packing(4, 32, "mxfp4"), 64),
        (Packing(4, 16, "affine"), 64),
    ],
)
def test_what_has_no_exact_blocks_has_none(packing: Packing, width: int) -> None:
    tensors = packed(4, 32, (2, width), 0, mx.float16)
    assert block_kind(packing, tensors, width) is None


def test_scales_beyond_float16_have_no_blocks() -> None:
    tensors = packed(4, 32, (2, 64), 0, mx.float32)
    tensors["scales"] = tensors["scales"] * 1e6
    assert block_kind(Packing(4, 32, "affine"), tensors, 64) is None


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_plain_numbers_come_back(dtype: mx.Dtype) -> None:
    numbers = mx.random.normal((2, 3, 40), key=mx.random.key(0)).astype(dtype)
    kind = {mx.float32: "F32", mx.float16: "F16", mx.bfloat16: "BF16"}[dtype]
    assert mx.array_equal(plain(kind, plain_bytes(numbers)), numbers.reshape(6, 40)).item()
    assert set(BLOCKS) >= {"Q5_0", "Q5_1"}
