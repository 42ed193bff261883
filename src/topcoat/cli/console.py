"""The two consoles of the command line, and the one way to print a line on them."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from topcoat.store.files import is_stream

__all__ = ["beside", "err", "out", "print_line", "print_table"]

out = Console()
err = Console(stderr=True)


def print_line(console: Console, text: str) -> None:
    """One line of markup, not wrapped; a place like x.jsonl:100: is no emoji."""
    console.print(text, highlight=False, soft_wrap=True, emoji=False)


def print_table(console: Console, table: Table) -> None:
    """A table, its columns never narrower than their words: a narrow terminal breaks lines, but loses no figure."""
    unlimited = console.options.update(max_width=10_000)
    for column in table.columns:
        parts = [Measurement.get(console, unlimited, part) for part in (column.header, *column.cells)]
        column.min_width = max(part.maximum if column.no_wrap else part.minimum for part in parts)
    least = Measurement.get(console, unlimited, table).minimum
    if least > console.width:
        table.width = least
    console.print(table, crop=False)


def beside(written: Path | None) -> Console:
    """Where to say what was done: on stderr if the result itself went into a stream, as /dev/stdout."""
    return err if written is not None and is_stream(written) else out
