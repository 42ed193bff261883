"""Imports files and data sets of dialogues in other formats as files of examples."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.examples.formats.foreign import FORMATS, Format, Untranslatable, convert, detect, turns_filter
from topcoat.examples.formats.tables import is_table, read_table
from topcoat.spec.example import Example
from topcoat.spec.reading.documents import content_after
from topcoat.spec.reading.loader import Line, read_rows, read_text
from topcoat.spec.reading.wording import findings
from topcoat.store.files import jsonl_text, require_new, write_text
from topcoat.store.records import Record

__all__ = ["Imported", "import_examples"]


_MOST_KEYS = 12
"""Keys that a message names."""


class Imported(Record):
    """A finished import: the number of examples, their format, and the file that has them now."""

    version: Literal[1] = 1
    format: Format
    examples: int
    path: str


class _AnyObject(BaseModel):
    model_config = ConfigDict(extra="allow")


def import_examples(source: str, target: Path, form: str | None = None) -> Imported:
    """Convert dialogues to a file of examples. It is written only if all dialogues can be converted.

    `source` is a file, JSONL or one JSON list, or a table (`examples.formats.tables`). `form` is one of `FORMATS`, or
    None to detect it by the keys. Raises `InvalidInput` with every mistake of the source, `Refused` if `target` exists.
    """
    if form is not None and form not in FORMATS:
        raise InvalidInput(f'there is no format "{form}"', hint=f"--format {FORMATS[0]}, or {' or '.join(FORMATS[1:])}")
    again = target.with_stem(f"{target.stem}-2") if target.name else Path("data/FILE.jsonl")
    require_new(target, f"topcoat data import {shlex.quote(source)} --to {shlex.quote(str(again))}")
    place = Path(source)
    table = read_table(source) if is_table(source) else None
    lines, mistakes = _objects(place) if table is None else _placed(enumerate(map(json.dumps, table), 1), place)
    rows = [_content(line) for line in lines]
    chosen = next((known for known in FORMATS if known == form), None) or detect(rows)
    if chosen is None and not mistakes:
        keys = ", ".join(list(dict.fromkeys(key for row in rows for key in row))[:_MOST_KEYS])
        raise InvalidInput(
            f"the lines have the keys of no known format: {keys or 'none at all'}",
            where=Where(place),
            hint=f"jq -c '{turns_filter(rows)}' {shlex.quote(source)} > NEW.jsonl"
            if table is None
            else 'import a file of lines like {"messages": [{"role": "user", "content": "..."}, ...]}',
        )
    examples = []
    for line, row in zip(lines, rows, strict=True):
        try:
            examples.append(Example.model_validate(data := convert(row, chosen or "chat")))
        except Untranslatable as problem:
            mistakes.append(Mistake(str(problem), line.where))
        except ValidationError as error:
            mistakes += [Mistake(f.message, line.where, f.hint) for f in findings(error, data, Example, "json")]
    if mistakes or chosen is None:
        mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
        raise InvalidInput.collect(source, mistakes)
    write_text(target, jsonl_text(examples))
    return Imported(format=chosen, examples=len(examples), path=str(target))


def _objects(source: Path) -> tuple[list[Line[_AnyObject]], list[Mistake]]:
    """The objects of a JSONL file or of a JSON list, with their lines in it."""
    text = read_text(source)
    if text.lstrip().startswith("["):
        return _placed(_items(text, source), source)
    return _placed(enumerate(text.split("\n"), 1), source)


def _placed(texts: Iterable[tuple[int, str]], source: Path) -> tuple[list[Line[_AnyObject]], list[Mistake]]:
    """Objects by their lines in the file, or by their numbers in a table."""
    return read_rows([(Where(source, line), text.encode()) for line, text in texts], source, _AnyObject)


def _items(text: str, source: Path) -> Iterator[tuple[int, str]]:
    """Each item of the JSON list `text`, and its line. Raises `InvalidInput` at the first broken one."""
    decoder = json.JSONDecoder()
    line, before, position = 1, 0, text.index("[") + 1
    while True:
        position = content_after(text, position)
        if text[position : position + 1] == "]":
            return
        line += text.count("\n", before, position)
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            message = "the list is broken at the item that begins here"
            raise InvalidInput(message, where=Where(source, line)) from None
        # In valid JSON a raw line break is only ever space between values.
        yield line, text[position:end].replace("\r", " ").replace("\n", " ")
        before = position
        position = end


def _content(line: Line[_AnyObject]) -> dict[str, Any]:
    return dict(line.value.model_extra or {})
