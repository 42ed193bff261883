"""Replaces halves of surrogate pairs. JSON can hold them as escapes, but they are no characters and no file can."""

from __future__ import annotations

import json
from typing import TypeVar

__all__ = ["whole_characters"]

V = TypeVar("V")


def whole_characters(value: V) -> V:
    """`value`, which JSON can hold, with two halves that belong together joined, and U+FFFD for every other half."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        whole: V = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        return whole
    return value
