"""Files and data sets of dialogues in other formats, turned into files of examples."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.examples.formats.foreign import FORMATS, Format, Untranslatable, convert, detect
from topcoat.examples.formats.tables import is_table, read_table
from topcoat.spec.example import Example
from topcoat.spec.reading.loader import Line, read_jsonl, read_text
from topcoat.spec.reading.wording import findings
from topcoat.store.files import jsonl_text, require_new, write_text
from topcoat.store.records import Record

__all__ = ["Imported", "import_examples"]


class Imported(Record):
    """A finished import: how many examples were read from which format, and where they are now."""

    version: Literal[1] = 1
    format: Format
    examples: int
    path: str


class _AnyObject(BaseModel):
    model_config = ConfigDict(extra="allow")


def import_examples(source: str, target: Path, form: str | None = None) -> Imported:
    """Turn dialogues into a file of examples; nothing is written unless every one of them can be turned.

    `source` is a file, JSONL or one JSON list, or a table (`examples.formats.tables`). `form` is one of `FORMATS`, or
    None to go by the keys. Raises `InvalidInput` with every mistake of the source, `Refused` if `target` exists.
    """
    if form is not None and form not in FORMATS:
        raise InvalidInput(f'there is no format "{form}"', hint=f"--format {FORMATS[0]}, or {' or '.join(FORMATS[1:])}")
    again = target.with_stem(f"{target.stem}-2") if target.name else Path("data/FILE.jsonl")
    require_new(target, f"topcoat data import {shlex.quote(source)} --to {shlex.quote(str(again))}")
    place = Path(source)
    lines, mistakes = _rows_of(read_table(source), place) if is_table(source) else _objects(place)
    rows = [_content(line) for line in lines]
    chosen = next((known for known in FORMATS if known == form), None) or detect(rows)
    if chosen is None and not mistakes:
        raise InvalidInput("the lines have the keys of no known format", where=Where(place), hint="--format chat")
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
    if not text.lstrip().startswith("["):
        if source.is_file():
            return read_jsonl(source, _AnyObject)
        lines = text.split("\n")  # of a pipe, which can be read only once
        return _placed(lines, [Where(source, number) for number in range(1, len(lines) + 1)], source)
    items = _items(text, source)
    places = [Where(source, line) for line in _lines_of([begin for begin, _ in items], text)]
    return _placed((_one_line(text[begin:end]) for begin, end in items), places, source)


def _rows_of(rows: Sequence[dict[str, Any]], source: Path) -> tuple[list[Line[_AnyObject]], list[Mistake]]:
    """The rows of a table, each at its number, counted from 1 as lines are."""
    places = [Where(source, number) for number in range(1, len(rows) + 1)]
    return _placed((json.dumps(row) for row in rows), places, source)


def _placed(
    texts: Iterable[str], places: Sequence[Where], source: Path
) -> tuple[list[Line[_AnyObject]], list[Mistake]]:
    """Objects written on one line each, read by the one loader of lines, with the places where they really are."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.jsonl"
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in texts)
        read, mistakes = read_jsonl(lines, _AnyObject)

    def placed(where: Where | None) -> Where:
        return places[where.line - 1] if where and where.line else Where(source)

    return (
        [Line(line.value, placed(line.where)) for line in read],
        [Mistake(mistake.message, placed(mistake.where), mistake.hint) for mistake in mistakes],
    )


def _items(text: str, source: Path) -> list[tuple[int, int]]:
    """Where each item of the JSON list `text` begins and ends. Raises `InvalidInput` at the first broken one."""
    decoder = json.JSONDecoder()
    items: list[tuple[int, int]] = []
    position = text.index("[") + 1
    while True:
        position = _skipped(text, position, " \t\r\n,")
        if text[position : position + 1] == "]":
            return items
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            where = Where(source, text.count("\n", 0, position) + 1)
            raise InvalidInput("the list is broken at the item that begins here", where=where) from None
        items.append((position, end))
        position = end


def _lines_of(positions: Sequence[int], text: str) -> Iterator[int]:
    """The line, counted from 1, of each of the rising `positions`."""
    line, before = 1, 0
    for position in positions:
        line += text.count("\n", before, position)
        before = position
        yield line


def _skipped(text: str, position: int, characters: str) -> int:
    while text[position : position + 1] and text[position] in characters:
        position += 1
    return position


def _one_line(item: str) -> str:
    """A JSON item on one line: in valid JSON a raw line break is only ever space between values."""
    return item.replace("\r", " ").replace("\n", " ")


def _content(line: Line[_AnyObject]) -> dict[str, Any]:
    return dict(line.value.model_extra or {})
