"""Reads documents as an import does, without a project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from topcoat.errors import Where
from topcoat.usage.formats.dialogue import Dialogue, Document, Report
from topcoat.usage.formats.table import dialogues_in, grouped

__all__ = ["dialogues_of", "lines_read", "passed_over"]

_FILE = Path("log.jsonl")


def lines_read(documents: Sequence[object], form: str | None = None) -> tuple[str, list[Dialogue], Report]:
    """The format of a file with these documents, its dialogues, and what wasn't read."""
    report = Report()
    groups = grouped([Document(value, Where(_FILE, line)) for line, value in enumerate(documents, 1)], form)
    found = [dialogue for name, group in groups for dialogue in dialogues_in(group, name, report)]
    return ", ".join(name for name, _ in groups), found, report


def dialogues_of(document: object, form: str | None = None) -> list[Dialogue]:
    """The dialogues of one document. Raises `ValueError` if something can't be read."""
    _, found, report = lines_read([document], form)
    if report.mistakes:
        raise ValueError(report.mistakes[0].message)
    return found


def passed_over(documents: Sequence[object], form: str | None = None) -> Counter[str]:
    """What is passed over in a file with these documents."""
    return lines_read(documents, form)[2].passed
