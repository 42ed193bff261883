"""Reading the mistakes of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["MistakesOf", "Reader"]

Reader = Callable[[Path], object]
MistakesOf = Callable[[Reader, str | bytes], list[tuple[int | None, str]]]
