"""The GGUF format: a file's metadata, and where its tensors lie.

The format, little endian: the magic `GGUF`, a version, the number of tensors and of metadata entries, the entries (key,
type, value), the tensors (name, dimensions from the fastest, type, offset), and after padding the data. Nothing in a
file is believed: every count is compared with the bytes that are left before anything is read.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topcoat.errors import InvalidInput, StorageFault, Where

__all__ = ["KINDS", "MAGIC", "GgufFile", "Kind", "Tensor", "Value", "read_gguf"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)

HEADER_LIMIT = 1 << 28
"""Bytes before the data. The largest vocabularies take some 20 MB."""
ENTRY_LIMIT = 1 << 16
"""Metadata entries, and tensors. Models have some thousands."""
TEXTS_LIMIT = 1 << 22
"""Texts of the whole file. The largest vocabularies have some 300,000 tokens and 500,000 merges."""

Value = int | float | bool | str | list[str] | NDArray[np.generic]
"""A metadata value. A list of numbers is an array."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How numbers are stored: blocks of `length` numbers in `size` bytes."""

    name: str
    length: int
    size: int


KINDS = {
    0: Kind("F32", 1, 4),
    1: Kind("F16", 1, 2),
    2: Kind("Q4_0", 32, 18),
    3: Kind("Q4_1", 32, 20),
    6: Kind("Q5_0", 32, 22),
    7: Kind("Q5_1", 32, 24),
    8: Kind("Q8_0", 32, 34),
    9: Kind("Q8_1", 32, 36),
    10: Kind("Q2_K", 256, 84),
    11: Kind("Q3_K", 256, 110),
    12: Kind("Q4_K", 256, 144),
    13: Kind("Q5_K", 256, 176),
    14: Kind("Q6_K", 256, 210),
    15: Kind("Q8_K", 256, 292),
    16: Kind("IQ2_XXS", 256, 66),
    17: Kind("IQ2_XS", 256, 74),
    18: Kind("IQ3_XXS", 256, 98),
    19: Kind("IQ1_S", 256, 50),
    20: Kind("IQ4_NL", 32, 18),
    21: Kind("IQ3_S", 256, 110),
    22: Kind("IQ2_S", 256, 82),
    23: Kind("IQ4_XS", 256, 136),
    24: Kind("I8", 1, 1),
    25: Kind("I16", 1, 2),
    26: Kind("I32", 1, 4),
    27: Kind("I64", 1, 8),
    28: Kind("F64", 1, 8),
    29: Kind("IQ1_M", 256, 56),
    30: Kind("BF16", 1, 2),
    34: Kind("TQ1_0", 256, 54),
    35: Kind("TQ2_0", 256, 66),
    39: Kind("MXFP4", 32, 17),
}
"""The kinds of numbers by their number in a file, as ggml's `enum ggml_type` and its blocks define them."""

_NUMBERS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` has the rows first, as numpy and MLX count. `offset` counts from the begin of the file."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """The tensor's bytes."""
        return math.prod(self.shape) // self.kind.length * self.kind.size


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A file's metadata and tensors by name. The data is read when `rows` is called."""

    path: Path
    metadata: dict[str, Value]
    tensors: dict[str, Tensor]

    def rows(self, tensor: Tensor) -> NDArray[np.uint8]:
        """The tensor's bytes, of shape (rows, bytes of a row). Each number of a vector is a row."""
        data = np.memmap(self.path, np.uint8, "r", tensor.offset, (tensor.size,))
        return data.reshape(tensor.shape[0], -1)


class _Damaged(Exception):
    """What is wrong with the file, in words."""


class _Cursor:
    """Reads one value after the other."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.end = min(len(data), HEADER_LIMIT)
        self.place = 0
        self._texts = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.end - self.place:
            whole = "is cut off" if self.end == len(self._data) else "has more metadata than any model"
            raise _Damaged(f"it {whole} (byte {self.place})")
        self.place += count
        return self._data[self.place - count : self.place]

    def number(self, form: str) -> int:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(value)

    def text(self) -> str:
        place = self.place
        self._texts += 1
        if self._texts > TEXTS_LIMIT:
            raise _Damaged("it has more texts than any model")
        try:
            return self.take(self.number("<Q")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Damaged(f"the text at byte {place} isn't UTF-8") from error

    def count(self, what: str, limit: int) -> int:
        """A number of things, each of which takes a byte at least."""
        count = self.number("<Q")
        if count > limit:
            raise _Damaged(f"it says that it has {count} {what}")
        return count

    def value(self) -> Value:
        kind = self.number("<I")
        if kind == _TEXT:
            return self.text()
        if kind == _LIST:
            return self._list()
        value: Value = self._numbers(kind, 1)[0].item()
        return value

    def _list(self) -> Value:
        kind = self.number("<I")
        if kind == _TEXT:
            return [self.text() for _ in range(self.count("texts in a list", TEXTS_LIMIT))]
        return self._numbers(kind, self.count("numbers in a list", HEADER_LIMIT))

    def _numbers(self, kind: int, count: int) -> NDArray[np.generic]:
        if kind not in _NUMBERS:
            what = "a list of lists" if kind == _LIST else f"a value of type {kind}"
            raise _Damaged(f"it has {what} at byte {self.place}, which topcoat doesn't read")
        form = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self.take(count * form.itemsize), form)


def read_gguf(path: Path) -> GgufFile:
    """The metadata of a GGUF file, and where its tensors are.

    Raises InvalidInput if it isn't a whole one, StorageFault if it can't be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise InvalidInput(
                    f"{path.name} is no GGUF file: it doesn't begin with GGUF",
                    where=Where(path),
                    hint="topcoat init --base FOLDER takes a folder of safetensors, OWNER/NAME a model on the hub",
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                metadata, tensors = _read(_Cursor(data), len(data))
    except _Damaged as error:
        raise InvalidInput(
            f"{path.name} is not a whole GGUF file: {error}", where=Where(path), hint="fetch the file again"
        ) from error
    except OSError as error:
        raise StorageFault(f"can't read {path}: {error.strerror or error}", where=Where(path)) from error
    return GgufFile(path, metadata, tensors)


def _read(cursor: _Cursor, size: int) -> tuple[dict[str, Value], dict[str, Tensor]]:
    cursor.take(len(MAGIC))
    version = cursor.number("<I")
    if version not in VERSIONS:
        big = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        raise _Damaged("it is for big-endian machines" if big else f"its version is {version}; 2 and 3 are read")
    tensor_count = cursor.count("tensors", ENTRY_LIMIT)
    metadata: dict[str, Value] = {}
    for _ in range(cursor.count("metadata entries", ENTRY_LIMIT)):
        key = cursor.text()
        if key in metadata:
            raise _Damaged(f"it has {key} twice")
        metadata[key] = cursor.value()
    found = [_tensor(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise _Damaged(f"general.alignment is {alignment}")
    begin = -(-cursor.place // alignment) * alignment
    tensors = {name: Tensor(name, kind, shape, begin + offset) for name, kind, shape, offset in found}
    if len(tensors) < len(found):
        raise _Damaged("it has tensors of the same name")
    _require_apart(sorted(tensors.values(), key=lambda tensor: tensor.offset), size)
    return metadata, tensors


def _tensor(cursor: _Cursor) -> tuple[str, Kind, tuple[int, ...], int]:
    name = cursor.text()
    dimensions = cursor.number("<I")
    if not 1 <= dimensions <= 4:
        raise _Damaged(f"{name} has {dimensions} dimensions")
    shape = tuple(cursor.number("<Q") for _ in range(dimensions))[::-1]
    number = cursor.number("<I")
    kind = KINDS.get(number)
    if kind is None:
        raise _Damaged(f"{name} is of a kind that topcoat doesn't know ({number})")
    if min(shape) < 1 or shape[-1] % kind.length:
        raise _Damaged(f"{name} has the shape {shape}, which {kind.name} can't have")
    return name, kind, shape, cursor.number("<Q")


def _require_apart(tensors: list[Tensor], size: int) -> None:
    """Raise if tensors, sorted by offset, overlap or end after the file: it would be written many times over."""
    for tensor, following in zip(tensors, [*tensors[1:], None], strict=False):
        end = tensor.offset + tensor.size
        if end > size:
            raise _Damaged(f"it is cut off: {tensor.name} ends at byte {end} of {size}")
        if following is not None and end > following.offset:
            raise _Damaged(f"{tensor.name} and {following.name} overlap")
