"""The header of a safetensors file, without its data.

The format: 8 bytes of header length (little endian), a JSON header of name -> {dtype, shape, data_offsets}, the data.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topcoat.errors import StorageFault, Where

__all__ = ["Header", "read_header"]


@dataclass(frozen=True, slots=True)
class Header:
    """The file's tensors, in the order of the file, and the byte where its data begins."""

    tensors: dict[str, dict[str, Any]]
    metadata: dict[str, str] | None
    start: int


def read_header(path: Path) -> Header:
    """The header of a complete file. Raises StorageFault if the file is incomplete or unreadable."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size - 8:
                raise ValueError("the header is longer than the file")
            tensors = json.loads(file.read(length))
        if not isinstance(tensors, dict):
            raise ValueError("the header is no object")
        metadata = tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        if size != 8 + length + end:
            raise ValueError(f"{8 + length + end} bytes expected, {size} found")
    except (OSError, ValueError, LookupError, TypeError, struct.error, RecursionError) as error:
        raise StorageFault(f"not a whole safetensors file: {error}", where=Where(path)) from error
    return Header(tensors, metadata, 8 + length)
