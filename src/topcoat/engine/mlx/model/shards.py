"""Safetensors files of a model as raw bytes, to leave out some tensors and keep the others byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from topcoat.errors import StorageFault, Where
from topcoat.store.tensor_file import read_header

__all__ = ["Shard", "save_tensors", "write_without"]

CHUNK = 1 << 24


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file: its header, in the order of the file, and the position of its data."""

    path: Path
    tensors: dict[str, dict[str, Any]]
    metadata: dict[str, str] | None
    start: int

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Read the header. Raises StorageFault if the file is incomplete."""
        header = read_header(path)
        return cls(path, header.tensors, header.metadata, header.start)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one tensor, in pieces. Raises StorageFault if the file ends too early."""
        start, end = self.tensors[name]["data_offsets"]
        with self.path.open("rb") as file:
            file.seek(self.start + start)
            for offset in range(start, end, CHUNK):
                chunk = file.read(min(CHUNK, end - offset))
                if len(chunk) < min(CHUNK, end - offset):
                    raise StorageFault("the file shrank while it was read", where=Where(self.path))
                yield chunk


def save_tensors(path: Path, tensors: Mapping[str, mx.array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file. Equal tensors give equal bytes.

    Raises StorageFault if the file is incomplete afterwards: MLX doesn't report a full disk.
    """
    try:
        mx.save_safetensors(str(path), dict(sorted(tensors.items())), metadata=dict(metadata or {}))
        Shard.open(path)
    except (RuntimeError, OSError, StorageFault) as error:
        free = shutil.disk_usage(path.parent).free
        raise StorageFault(
            f"could not write the file ({free / 1e6:.1f} MB are free): {error}",
            where=Where(path),
            hint="free some space",
        ) from error


def write_without(shard: Shard, target: Path, dropped: frozenset[str]) -> int:
    """Write `shard` to `target` without the `dropped` tensors. The others keep their bytes and their order.

    A file without any of them is hard-linked, or copied if the file system has no hard links. Returns the bytes of new
    disk space.
    """
    if not dropped & shard.tensors.keys():
        try:
            os.link(shard.path.resolve(), target)
            return 0
        except OSError:
            shutil.copyfile(shard.path, target)
            return target.stat().st_size
    header: dict[str, Any] = {} if shard.metadata is None else {"__metadata__": shard.metadata}
    offset = 0
    for name, tensor in shard.tensors.items():
        if name in dropped:
            continue
        start, end = tensor["data_offsets"]
        header[name] = {**tensor, "data_offsets": [offset, offset + end - start]}
        offset += end - start
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in (name for name in header if name != "__metadata__"):  # in the order of their offsets
            out.writelines(shard.chunks(name))
    return target.stat().st_size
