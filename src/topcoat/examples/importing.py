"""Imports files and data sets of dialogues in other formats as files of examples."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.examples.formats.foreign import FORMATS, Format, convert, detect, refusal, turns_filter
from topcoat.examples.formats.json_texts import Said, Untranslatable
from topcoat.examples.formats.tables import is_table, read_table
from topcoat.quantity import counted
from topcoat.spec.agent import Route
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
    """A finished import: the number of examples, their format, and the file that has them now.

    `notes` say what the conversion did that a person should know, and how often. `left_out` are the lines that couldn't
    be read, each with its place and the reasons.
    """

    version: Literal[1] = 1
    format: Format
    examples: int
    path: str
    notes: list[str] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list)


class _AnyObject(BaseModel):
    model_config = ConfigDict(extra="allow")


def import_examples(
    source: str, target: Path, form: str | None = None, *, calls: Route = "native", leave_out: bool = False
) -> Imported:
    """Convert dialogues to a file of examples. It is written only if all dialogues can be converted.

    `source` is a file, JSONL or one JSON list, or a table (`examples.formats.tables`). `form` is one of `FORMATS`, or
    None to detect it by the keys. `calls` says how the project's answers reach tools: natively, calls are structured,
    otherwise text. With `leave_out`, the lines that can be converted are written, if there are any.
    Raises `InvalidInput` with every mistake of the source, `Refused` if `target` exists.
    """
    if form is not None and form not in FORMATS:
        raise InvalidInput(f'there is no format "{form}"', hint=f"--format {FORMATS[0]}, or {' or '.join(FORMATS[1:])}")
    again = target.with_stem(f"{target.stem}-2") if target.name else Path("data/FILE.jsonl")
    require_new(target, f"topcoat data import {shlex.quote(source)} --to {shlex.quote(str(again))}")
    place = Path(source)
    table = read_table(source) if is_table(source) else None
    text = read_text(place) if table is None else ""
    lines, mistakes = _objects(text, place) if table is None else _placed(enumerate(map(json.dumps, table), 1), place)
    chosen = next((known for known in FORMATS if known == form), None)
    if chosen is None and (lines or not mistakes):
        each = ".[] | " if _is_list(text) else ""
        chosen = _detected([_content(line) for line in lines], place, each, is_file=table is None)
    examples, said = _converted(lines, chosen, calls, mistakes) if chosen else ([], Said())
    mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
    if chosen is None or not examples or (mistakes and not leave_out):
        raise _refused(mistakes, source, target, len(examples))
    write_text(target, jsonl_text(examples))
    return Imported(
        format=chosen,
        examples=len(examples),
        path=str(target),
        notes=[f"{counted(count, note.thing)}: {note.what}" for note, count in sorted(said.items()) if count],
        left_out=_left_out(mistakes),
    )


def _refused(mistakes: list[Mistake], source: str, target: Path, readable: int) -> InvalidInput:
    """The error for all mistakes. The first one without a hint says how to import the other lines."""
    if not readable:
        return InvalidInput.collect(source, mistakes)
    lines = readable + len(_left_out(mistakes))
    again = f"topcoat data import {shlex.quote(source)} --to {shlex.quote(str(target))} --leave-out"
    bare = next((index for index, mistake in enumerate(mistakes) if mistake.hint is None), None)
    if bare is not None:
        mistakes[bare] = replace(mistakes[bare], hint=f"{again} # for the {readable} of {lines} lines that can be read")
    found = f"{counted(len(mistakes), 'mistake')}; {readable} of {counted(lines, 'line')} can be read"
    return InvalidInput(f"{source}: {found}", mistakes=tuple(mistakes))


def _left_out(mistakes: list[Mistake]) -> list[str]:
    """Each line with its mistakes."""
    by_line: dict[str, list[str]] = {}
    for mistake in mistakes:
        by_line.setdefault(str(mistake.where), []).append(mistake.message)
    return [f"{where}: {'; '.join(messages)}" for where, messages in by_line.items()]


def _detected(rows: list[dict[str, Any]], source: Path, each: str, *, is_file: bool) -> Format:
    """The format of the lines, which jq takes out of the file by `each`. Raises `InvalidInput` if it isn't known."""
    quoted = shlex.quote(str(source))
    if (refused := refusal(rows, quoted, each)) is not None:
        message, hint = refused
        raise InvalidInput(message, where=Where(source), hint=hint)
    if (found := detect(rows)) is not None:
        return found
    keys = ", ".join(list(dict.fromkeys(key for row in rows for key in row))[:_MOST_KEYS])
    raise InvalidInput(
        f"the lines have the keys of no known format: {keys or 'none at all'}",
        where=Where(source),
        hint=f"jq -c '{each}{turns_filter(rows)}' {quoted} > NEW.jsonl"
        if is_file
        else 'import a file of lines like {"messages": [{"role": "user", "content": "..."}, ...]}',
    )


def _converted(
    lines: list[Line[_AnyObject]], form: Format, calls: Route, mistakes: list[Mistake]
) -> tuple[list[Example], Said]:
    """The examples, and what was done to them. Adds the mistakes of the other lines."""
    examples, said = [], Said()
    for line in lines:
        done = Said()
        try:
            data = convert(_content(line), form, done, calls)
            examples.append(Example.model_validate(data))
            said += done
        except Untranslatable as problem:
            mistakes.append(Mistake(str(problem), line.where))
        except ValidationError as error:
            mistakes += [Mistake(f.message, line.where, f.hint) for f in findings(error, data, Example, "json")]
    return examples, said


def _is_list(text: str) -> bool:
    return text.lstrip().startswith("[")


def _objects(text: str, source: Path) -> tuple[list[Line[_AnyObject]], list[Mistake]]:
    """The objects of JSON lines or of a JSON list, with their lines in it."""
    if _is_list(text):
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
