"""Safetensors files of a model as raw bytes: to leave some tensors out and keep every other byte for byte."""

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
    """One safetensors file: its header, in the order of the file, and where its data begins."""

    path: Path
    tensors: dict[str, dict[str, Any]]
    metadata: dict[str, str] | None
    start: int

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Read the header. Raises StorageFault if the file isn't whole."""
        header = read_header(path)
        return cls(path, header.tensors, header.metadata, header.start)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one tensor, a piece at a time. Raises StorageFault if the file ends before they do."""
        start, end = self.tensors[name]["data_offsets"]
        with self.path.open("rb") as file:
            file.seek(self.start + start)
            for offset in range(start, end, CHUNK):
                chunk = file.read(min(CHUNK, end - offset))
                if len(chunk) < min(CHUNK, end - offset):
                    raise StorageFault("the file shrank while it was read", where=Where(self.path))
                yield chunk


def save_tensors(path: Path, tensors: Mapping[str, mx.array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, equal tensors to equal bytes.

    Raises StorageFault if it isn't whole afterwards: MLX says nothing when a disk is full.
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
    """Write `shard` to `target` without some tensors; the others keep their bytes and their order.

    A file that holds none of them is hard-linked where the file system can, copied where not. Returns the bytes that
    take new disk.
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
