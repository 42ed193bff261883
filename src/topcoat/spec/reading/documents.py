"""The JSON documents of a file: one a line, or each over several lines."""

from __future__ import annotations

import json
from pathlib import Path

from topcoat.errors import Mistake, Where
from topcoat.spec.reading.loader import read_text
from topcoat.spec.reading.unplaced import Unplaced

__all__ = ["content_after", "documents_in", "read_documents"]


def read_documents(path: Path) -> tuple[list[tuple[object, Where]], list[Mistake]]:
    """Every document with its first line, and every mistake. Raises `InvalidInput` if the file isn't text."""
    return documents_in(read_text(path), path)


def documents_in(text: str, path: Path) -> tuple[list[tuple[object, Where]], list[Mistake]]:
    """Every document of a file's text with its first line, and every mistake.

    After a mistake, reading continues at the next line that could begin a document.
    """
    decoder, unplaced = json.JSONDecoder(), Unplaced(text)
    documents: list[tuple[object, Where]] = []
    mistakes: list[Mistake] = []
    position, line = 0, 1
    while (start := content_after(text, position)) < len(text):
        line += text.count("\n", position, start)
        where = Where(path, line)
        try:
            document, end = decoder.raw_decode(unplaced, start)
            documents.append((document, where))
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply"
            mistakes.append(Mistake(f"not valid JSON: {reason[:1].lower() + reason[1:]}", where))
            end = _next_line(text, start)
        line += text.count("\n", start, end)
        position = end
    return documents, mistakes


def content_after(text: str, position: int) -> int:
    """The next position that holds neither space nor a comma."""
    while position < len(text) and text[position] in " \t\r\n,":
        position += 1
    return position


def _next_line(text: str, position: int) -> int:
    """The position of the next line that starts with a bracket."""
    while (position := text.find("\n", position) + 1) > 0:
        if text[position : position + 1] in ("{", "["):
            return position
    return len(text)
