"""Reads the files that a user wrote, and collects every mistake with its file and line."""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.reading.json_text import MAX_DEPTH, Unreadable, depth_of, parse_json
from topcoat.spec.reading.toml_lines import KeyPath, key_lines, repeated_key
from topcoat.spec.reading.wording import findings

__all__ = [
    "Line",
    "TomlSource",
    "load_jsonl",
    "parse_toml",
    "read_jsonl",
    "read_rows",
    "read_text",
    "read_toml",
]

M = TypeVar("M", bound=BaseModel)

_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONG_NUMBER = re.compile(r"\d{4000,}")
_DEEP_KEY = re.compile(rf"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}", re.ASCII)
"""A key of so many parts. It is looked for first, because tomllib takes quadratic time for such a key."""
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class TomlSource:
    """A TOML file as data, and the lines of its keys, for checks that look beyond one table."""

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def read(self, model: type[M]) -> tuple[M | None, list[Mistake]]:
        """The file as a `model`, or None and every mistake, by line."""
        try:
            return model.model_validate(self.data), []
        except ValidationError as error:
            return None, self.mistakes(error, self.data, model)

    def mistakes(self, error: ValidationError, data: object, model: type[BaseModel], *key: str | int) -> list[Mistake]:
        """The mistakes in `data`, the value of `key`, that `error` describes, by line."""
        found = [Mistake(f.message, self.where(*key, *f.path), f.hint) for f in findings(error, data, model, "toml")]
        return sorted(found, key=_line_number)

    def where(self, *key: str | int) -> Where:
        """The line of a key, or of the nearest written table around it."""
        written = (self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines)
        return Where(self.path, next(written, None))


@dataclass(frozen=True, slots=True)
class Line(Generic[M]):
    """One object of a JSONL file, and its line."""

    value: M
    where: Where


def read_toml(path: Path, model: type[M]) -> tuple[M, TomlSource]:
    """A TOML file as a `model`, and its source. Raises `InvalidInput` with every mistake of the file."""
    source = parse_toml(path)
    value, mistakes = source.read(model)
    if value is None:
        raise _invalid(path, mistakes)
    return value, source


def parse_toml(path: Path) -> TomlSource:
    """The source of a TOML file. Raises `InvalidInput` if it is empty or invalid."""
    source = read_text(path)
    if deep := _DEEP_KEY.search(source):
        raise _invalid(path, [_too_deep(Where(path, source.count("\n", 0, deep.start()) + 1))])
    try:
        data = tomllib.loads(source)
    except RecursionError:
        raise _invalid(path, [_too_deep(Where(path))]) from None
    except ValueError as error:  # also integers of more digits than Python converts
        raise _invalid(path, [_toml_mistake(path, source, error)]) from None
    if depth_of(data) > MAX_DEPTH:
        raise _invalid(path, [_too_deep(Where(path))])
    if not data:
        raise _invalid(path, [Mistake("the file is empty", Where(path))])
    return TomlSource(path, data, key_lines(source.replace("\r\n", "\n")))


def load_jsonl(path: Path, model: type[M]) -> list[Line[M]]:
    """The objects of a JSONL file, in order. Raises `InvalidInput` with every mistake of the file."""
    lines, mistakes = read_jsonl(path, model)
    if mistakes:
        raise _invalid(path, mistakes)
    return lines


def read_jsonl(path: Path, model: type[M]) -> tuple[list[Line[M]], list[Mistake]]:
    """The valid lines of a JSONL file and the mistakes in the others, for callers that check more before they raise.

    Empty lines are skipped. A file without other lines is a mistake. Raises `InvalidInput` only if the file can't be
    read at all.
    """
    rows = [(Where(path, number), raw) for number, raw in enumerate(_read_bytes(path).split(b"\n"), 1)]
    return read_rows(rows, path, model)


def read_rows(rows: Iterable[tuple[Where, bytes]], path: Path, model: type[M]) -> tuple[list[Line[M]], list[Mistake]]:
    """`read_jsonl` of lines that were read from `path` already, each with its place."""
    rows = [(where, raw) for where, raw in rows if raw.strip()]
    if not rows:
        return [], [Mistake("the file is empty", Where(path))]
    if rows[0][1].strip() in (b"[", b"{"):
        hint = f"jq -c '{'.[]' if rows[0][1].strip() == b'[' else '.'}' '{path}' > NEW.jsonl"
        return [], [Mistake("not JSONL: an object must stand on one line", rows[0][0], hint)]
    lines: list[Line[M]] = []
    mistakes: list[Mistake] = []
    for where, raw in rows:
        try:
            data = _parse_json(raw)
            lines.append(Line(model.model_validate(data), where))
        except Unreadable as problem:
            mistakes.append(Mistake(problem.message, where, problem.hint))
        except ValidationError as error:
            mistakes += [Mistake(f.message, where, f.hint) for f in findings(error, data, model, "json")]
    return lines, mistakes


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark. Raises `InvalidInput` if it can't be read or decoded."""
    raw = _read_bytes(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _invalid(path, [Mistake(_not_utf8(error), Where(path, line), _iconv(path))]) from None


def _read_bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"no such file: {path}", where=Where(path), hint=_like_named(path)) from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder, not a file", where=Where(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidInput(f"can't read {path}: {reason}", where=Where(path)) from None
    if raw.startswith(_UTF16_BOMS):
        raise _invalid(path, [Mistake("not UTF-8 text but UTF-16", Where(path, 1), _iconv(path, "utf-16"))])
    return raw.removeprefix(codecs.BOM_UTF8)


def _like_named(path: Path) -> str:
    """A hint for a missing file: a file with a similar name, or a command that lists the folder."""
    folder = path.parent
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return f"there is no folder {folder} either"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / close[0]}?" if close else f"ls '{folder}'"


def _parse_json(raw: bytes) -> dict[str, Any]:
    try:
        data = parse_json(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable(_not_utf8(error), "save the file as UTF-8") from None
    if not isinstance(data, dict):
        raise Unreadable("must be a JSON object, like {...}")
    return data


def _toml_mistake(path: Path, source: str, error: ValueError) -> Mistake:
    """A syntax error in plain words. `tomllib` stops at the first one, so a file has one at most."""
    text = str(error)
    position = _POSITION.search(text)
    if position is None:
        number = _LONG_NUMBER.search(source)
        line = source.count("\n", 0, number.start()) + 1 if number else None
        return Mistake("not valid TOML: a number has too many digits", Where(path, line))
    lines = source.replace("\r\n", "\n").split("\n")
    line = int(position[1]) if position[1] else len(lines)
    reason = text[: position.start()]
    if reason.startswith("Cannot"):  # tomllib points behind the value, which may end lines below its key
        repeated = repeated_key("\n".join(lines[:line]))
        if repeated is not None:
            key, first, second = repeated
            name = ".".join(str(part) for part in key)
            return Mistake(f"{name}: written twice, first on line {first}", Where(path, second), "keep one of them")
    column = f", column {position[2]}" if position[2] else ""
    return Mistake(f"not valid TOML{column}: {reason[:1].lower() + reason[1:]}", Where(path, line))


def _line_number(mistake: Mistake) -> int:
    return (mistake.where.line or 0) if mistake.where else 0


def _too_deep(where: Where | None) -> Mistake:
    return Mistake(f"nested too deeply: more than {MAX_DEPTH} levels", where)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 text: byte 0x{error.object[error.start]:02x}"


def _iconv(path: Path, encoding: str = "latin1") -> str:
    return f"iconv -f {encoding} -t utf-8 '{path}' > NEW && mv NEW '{path}'"


def _invalid(path: Path, mistakes: list[Mistake]) -> InvalidInput:
    return InvalidInput.collect(str(path), mistakes)
