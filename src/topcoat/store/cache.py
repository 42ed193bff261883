"""A cache of arrays on disk. Arrays are checked before use; the least recently used are deleted first.

Every array can be computed again, so the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from topcoat.errors import StorageFault, Where
from topcoat.store.tensor_file import read_header

__all__ = ["ArrayCache"]

BOUND = 16 << 30
"""Bytes that a cache may hold after `trim`, unless the current process itself needs more."""

_CHECKSUM = "sha256 of key and states"
_TYPES: dict[str, type[np.generic]] = {"F32": np.float32, "U16": np.uint16, "F16": np.float16, "I32": np.int32}


class ArrayCache:
    """Arrays by key, one safetensors file each, whose metadata holds the sha256 of its key, type, shape and data.

    A file's time of last modification is the time of its last use. `refused` counts the files that were deleted because
    they were damaged, lay under another's key, or were of an earlier version.
    """

    def __init__(self, folder: Path, bound: int = BOUND) -> None:
        self._folder = folder
        self._bound = bound
        self.refused = 0
        self._open: dict[str, NDArray[np.generic]] = {}

    def get(self, key: str) -> NDArray[np.generic] | None:
        """The array, memory-mapped. None if it is absent or damaged; a damaged one is deleted."""
        if key not in self._open:
            path = self._path(key)
            try:
                array, expected = _map(path)
                if _digest(key, array) != expected:
                    raise ValueError("checksum")
                os.utime(path)
            except (StorageFault, OSError, ValueError, KeyError, TypeError):
                self.refused += path.exists()
                path.unlink(missing_ok=True)
                return None
            self._open[key] = array
        return self._open[key]

    def put(self, key: str, array: NDArray[np.generic]) -> None:
        """Store an array of float32, float16, uint16 or int32. Raises StorageFault if the disk is full or fails."""
        array = np.ascontiguousarray(array)
        path = self._path(key)
        part = path.with_suffix(".part")
        data = save({"states": array}, {_CHECKSUM: _digest(key, array)})
        try:
            try:
                self._write(part, path, data)
            except FileNotFoundError:  # the folder was deleted meanwhile
                self._write(part, path, data)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            free = shutil.disk_usage(self._folder.parent).free if self._folder.parent.exists() else 0
            raise StorageFault(
                f"could not write the cache ({free / 1e6:.1f} MB are free): {error}",
                where=Where(path),
                hint=f"rm -r '{self._folder}', or free some space",
            ) from error
        self._open.pop(key, None)

    def _write(self, part: Path, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)

    def damaged(self) -> list[Path]:
        """The files that `get` would refuse. Nothing is deleted. Reads all files."""
        return [path for path in sorted(self._folder.glob("*.safetensors")) if not _is_whole(path)]

    def trim(self) -> int:
        """Delete the least recently used arrays until the bound holds. Return the bytes freed.

        Arrays that this process has used stay.
        """
        for leftover in self._folder.glob("*.part"):
            leftover.unlink(missing_ok=True)  # left by a killed process: only one at a time holds the project
        found = sorted((_stat(path), path) for path in self._folder.glob("*.safetensors"))
        excess = sum(size for (_, size), _ in found) - self._bound
        freed = 0
        for (_, size), path in found:
            if freed >= excess:
                break
            if path.stem not in self._open:
                path.unlink(missing_ok=True)
                freed += size
        return freed

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def _is_whole(path: Path) -> bool:
    try:
        array, expected = _map(path)
        return _digest(path.stem, array) == expected
    except (StorageFault, OSError, ValueError, KeyError, TypeError):
        return False


def _stat(path: Path) -> tuple[int, int]:
    """The time of a file's last use, and its size; zeros if it was deleted meanwhile."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _digest(key: str, array: NDArray[np.generic]) -> str:
    total = hashlib.sha256(f"{key} {array.dtype} {array.shape}\n".encode())
    total.update(array.view(np.uint8).data if array.size else b"")
    return total.hexdigest()


def _map(path: Path) -> tuple[NDArray[np.generic], str]:
    """The array of a file, mapped read-only, and the checksum that it should have."""
    header = read_header(path)
    states = header.tensors["states"]
    mapped: NDArray[np.generic] = np.memmap(
        path, dtype=_TYPES[states["dtype"]], mode="r", offset=header.start, shape=tuple(states["shape"])
    )
    return mapped, str((header.metadata or {})[_CHECKSUM])
