"""Numbers of things, in words."""

from __future__ import annotations


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 example`, `2 examples`; `things` where the plural isn't `thing` and an s."""
    return f"{number} {thing}" if number == 1 else f"{number} {things or thing + 's'}"
