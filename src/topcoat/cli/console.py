"""The two consoles of the command line, and the one way to print a line on them."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from topcoat.store.files import is_stream

__all__ = ["beside", "err", "out", "print_line", "print_table"]

out = Console()
err = Console(stderr=True)

_INDENT = "  "


def print_line(console: Console, text: str) -> None:
    """One line of markup, not wrapped; a place like x.jsonl:100: is no emoji."""
    console.print(text, highlight=False, soft_wrap=True, emoji=False)


def print_table(console: Console, table: Table) -> None:
    """A table whose columns are never narrower than their words; where it doesn't fit, each row as lines.

    A terminal would break the lines of a wider table in the middle of words.
    """
    unlimited = console.options.update(max_width=10_000)
    for column in table.columns:
        parts = [Measurement.get(console, unlimited, part) for part in (column.header, *column.cells)]
        column.min_width = max(part.maximum if column.no_wrap else part.minimum for part in parts)
    if Measurement.get(console, unlimited, table).minimum <= console.width:
        console.print(table)
    else:
        _print_rows(console, table)


def _print_rows(console: Console, table: Table) -> None:
    """Each row as its first cell, and below it the others with their headers, as many to a line as fit."""
    first, *others = ([Text.from_markup(str(cell)) for cell in (c.header, *c.cells)] for c in table.columns)
    console.print()
    for row, name in enumerate(first[1:], 1):
        console.print(name, soft_wrap=True)
        line = Text()
        for column in others:
            if not column[row].plain:
                continue
            pair = Text(" ").join([column[0], Text(", ").join(column[row].split("\n"))])
            if line and len(_INDENT) + len(line) + len("; ") + len(pair) > console.width:
                _print_indented(console, line)
                line = Text()
            line = Text("; ").join([line, pair]) if line else pair
        _print_indented(console, line)
    console.print()


def _print_indented(console: Console, line: Text) -> None:
    """Broken between words only."""
    line.overflow = "ignore"
    for part in line.wrap(console, max(1, console.width - len(_INDENT))):
        console.print(Text(_INDENT).append(part), soft_wrap=True)


def beside(written: Path | None) -> Console:
    """Where to say what was done: on stderr if the result itself went into a stream, as /dev/stdout."""
    return err if written is not None and is_stream(written) else out
