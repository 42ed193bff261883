"""The two consoles of the command line, and the one way to print a line on them."""

from __future__ import annotations

from rich.console import Console

__all__ = ["err", "out", "print_line"]

out = Console()
err = Console(stderr=True)


def print_line(console: Console, text: str) -> None:
    """One line of markup, not wrapped; a place like x.jsonl:100: is no emoji."""
    console.print(text, highlight=False, soft_wrap=True, emoji=False)
