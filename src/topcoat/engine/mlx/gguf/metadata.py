"""Single values of a file's metadata, checked when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topcoat.engine.mlx.gguf.file import GgufFile, Value
from topcoat.errors import InvalidInput, Where

__all__ = ["Metadata", "refused"]

_HINT = "take a file that llama.cpp's convert_hf_to_gguf.py wrote, or the model's safetensors folder"


def refused(file: GgufFile, message: str, hint: str = _HINT) -> InvalidInput:
    """The error for a file that is whole, but can't be used."""
    return InvalidInput(f"{file.path.name} {message}", where=Where(file.path), hint=hint)


@dataclass(frozen=True, slots=True)
class Metadata:
    """A file's metadata. `family` stands for the architecture in keys: `{}.block_count`."""

    file: GgufFile
    family: str = ""

    def key(self, key: str) -> str:
        return key.replace("{}", self.family)

    def get(self, key: str) -> Value | None:
        return self.file.metadata.get(self.key(key))

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`. A list of equal ones, one a layer, counts as one."""
        value = self.get(key)
        if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
            value = value.flat[0].item()
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def real(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number from `low` to `high`. float32 is given as the shortest decimal that it rounds from."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise self._wrong(key, value, f"a number from {low:g} to {high:g}")
        return float(str(np.float32(value)))

    def text(self, key: str, default: str | None = None) -> str:
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty if there is none."""
        value = self.get(key)
        if isinstance(value, np.ndarray) and not value.size:
            return []
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, value, "a list of texts")
        return value or []

    def switch(self, key: str, default: bool) -> bool:
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return default if value is None else value

    def numbers(self, key: str, count: int) -> list[float] | None:
        """A list of `count` numbers; None if there is none."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, np.ndarray) or value.shape != (count,):
            raise self._wrong(key, value, f"a list of {count} numbers")
        numbers: list[float] = value.tolist()
        return numbers

    def _wrong(self, key: str, value: Value | None, wanted: str) -> InvalidInput:
        if value is None:
            return refused(self.file, f"doesn't say {self.key(key)}")
        shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:37]}..."
        return refused(self.file, f"says {self.key(key)} = {shown}, which must be {wanted}")
