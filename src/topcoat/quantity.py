"""Numbers of things, in words."""

from __future__ import annotations

__all__ = ["counted", "percent"]


def counted(number: int, thing: str) -> str:
    """`1 example`, `2 examples`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def percent(share: float) -> str:
    """A share (0..1) in percent, to four digits: `10%`, `0.25%`. A small one isn't rounded to nothing."""
    return f"{share * 100:.4g}%"
