"""The files of an import: those of a folder, and the JSON documents of each."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.reading.documents import documents_in, read_documents
from topcoat.usage.formats.dialogue import Document

__all__ = ["Files", "documents_of", "files_of"]

_ENDINGS = (".jsonl", ".json", ".log", ".ndjson")
_DATABASE = "opencode.db"
_ABOUT = ".meta.json"
"""The ending of Claude Code's files about a sub-agent. Its dialogue stands in a file beside it."""
_UNPACK = {".gz": "gunzip", ".zst": "zstd -d", ".bz2": "bunzip2", ".xz": "unxz", ".zip": "unzip", ".br": "brotli -d"}
"""The endings of compressed files, and what unpacks them."""

Files = tuple[list[Path], list[Mistake], Counter[str]]


def files_of(source: Path) -> Files:
    """The files to read, a mistake for each compressed one, and the others of a folder that aren't read, by a name.

    A folder is searched with all folders in it. Raises `InvalidInput` if `source` is one compressed file.
    """
    if not source.is_dir():
        if (packed := _packed(source)) is not None:
            raise InvalidInput(packed.message, where=packed.where, hint=packed.hint)
        return [source], [], Counter()
    chosen, mistakes, passed = list[Path](), list[Mistake](), Counter[str]()
    for path in _walk(source, mistakes):
        if (packed := _packed(path)) is not None:
            mistakes.append(packed)
        elif path.name.endswith(_ABOUT):
            passed[f"{_ABOUT} file"] += 1
        elif path.suffix.lower() not in _ENDINGS and path.name != _DATABASE:
            passed[f"{path.suffix or 'other'} file"] += 1
        elif not path.is_file():  # to open a pipe would wait for its other end
            mistakes.append(Mistake("neither a file nor a link to one", Where(path), f"ls -l {shlex.quote(str(path))}"))
        else:
            chosen.append(path)
    return chosen, mistakes, passed


def _walk(folder: Path, mistakes: list[Mistake]) -> Iterator[Path]:
    """The files in a folder and its folders. A folder that can't be opened, or is only linked to, is a mistake."""

    def closed(error: OSError) -> None:
        mistakes.append(Mistake(f"can't open the folder: {error.strerror}", Where(Path(error.filename))))

    for at, folders, names in os.walk(folder, onerror=closed):
        folders.sort()
        for linked in filter(os.path.islink, (os.path.join(at, name) for name in folders)):
            hint = f"topcoat events import {shlex.quote(os.path.realpath(linked))}"
            mistakes.append(Mistake("a link to a folder isn't followed", Where(Path(linked)), hint))
        yield from (Path(at) / name for name in sorted(names))


def _packed(path: Path) -> Mistake | None:
    command = _UNPACK.get(path.suffix.lower())
    if command is None:
        return None
    hint = f"{command} {shlex.quote(str(path))}"
    return Mistake("the file is compressed; compressed files aren't read", Where(path), hint)


def documents_of(path: Path) -> tuple[list[Document], list[Mistake]]:
    """The documents of a file, and what can't be read in it. Raises `InvalidInput` if it isn't text."""
    if path.name == _DATABASE:
        return _of_database(path), []
    try:
        documents, mistakes = read_documents(path)
    except InvalidInput:
        if (text := _without_bad_lines(path)) is None:
            raise
        lines, bad = text
        documents, mistakes = documents_in(lines, path)
        mistakes = sorted([*mistakes, *bad], key=lambda mistake: (mistake.where and mistake.where.line) or 0)
    return [Document(value, where) for value, where in documents], mistakes


def _without_bad_lines(path: Path) -> tuple[str, list[Mistake]] | None:
    """The text of a file whose lines are UTF-8 for the most part. The others are empty, and a mistake each."""
    try:
        lines = path.read_bytes().split(b"\n")
    except (OSError, ValueError):
        return None
    texts, mistakes = [], []
    for number, line in enumerate(lines, 1):
        try:
            texts.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append("")
            mistakes.append(Mistake("the line isn't UTF-8", Where(path, number)))
    return ("\n".join(texts), mistakes) if len(mistakes) * 2 < len(lines) else None


def _of_database(path: Path) -> list[Document]:
    """The sessions, messages and parts in opencode's database, as its earlier versions kept them in files."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            rows = [
                ({"id": key, "projectID": project, "directory": folder, "time": {"created": created}})
                for key, project, folder, created in database.execute(
                    "SELECT id, project_id, directory, time_created FROM session ORDER BY time_created, id"
                )
            ]
            for key, session, created, data in database.execute(
                "SELECT id, session_id, time_created, data FROM message ORDER BY time_created, id"
            ):
                rows.append({"time": {"created": created}, **json.loads(data), "id": key, "sessionID": session})
            for key, message, session, data in database.execute(
                "SELECT id, message_id, session_id, data FROM part ORDER BY id"
            ):
                rows.append({**json.loads(data), "id": key, "messageID": message, "sessionID": session})
    except (sqlite3.Error, ValueError, TypeError) as error:
        hint = "opencode export SESSION > session.json"
        raise InvalidInput(f"can't read opencode's database: {error}", where=Where(path), hint=hint) from None
    return [Document(row, Where(path)) for row in rows]
