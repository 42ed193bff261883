"""Numbers of things, in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, thing: str) -> str:
    """`1 example`, `2 examples`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
