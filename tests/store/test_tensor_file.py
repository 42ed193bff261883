from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from topcoat.errors import StorageFault
from topcoat.store.tensor_file import read_header


def with_header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_the_header_says_where_the_bytes_of_a_tensor_are(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(4, dtype=np.uint16),
    }
    path = tmp_path / "t.safetensors"
    path.write_bytes(save(arrays, {"k": "v"}))
    header = read_header(path)
    assert header.metadata == {"k": "v"}
    assert set(header.tensors) == {"a", "b"}
    for name, array in arrays.items():
        begin, end = header.tensors[name]["data_offsets"]
        assert path.read_bytes()[header.start + begin : header.start + end] == array.tobytes()
        assert header.tensors[name]["shape"] == list(array.shape)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        struct.pack("<Q", 1 << 60) + b"{}",
        with_header(b"{"),
        with_header(b"\xff"),
        with_header(b"[" * 100_000),
        *map(with_header, ([], "text", 3, None, {"a": 1}, {"a": {}}, {"a": {"data_offsets": []}})),
        with_header({"a": {"data_offsets": [0, "8"]}}),
        with_header({"a": {"data_offsets": [0, 8]}}, b"1234567"),
        with_header({"a": {"data_offsets": [0, 8]}}, b"123456789"),
    ],
)
def test_a_file_that_is_not_whole_is_a_storage_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(StorageFault, match="not a whole safetensors file"):
        read_header(path)


def test_a_missing_file_is_a_storage_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageFault):
        read_header(tmp_path / "nothing")
