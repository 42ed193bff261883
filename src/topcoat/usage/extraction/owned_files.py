"""Files that topcoat rewrites in the user's folders. It never overwrites a file that somebody else wrote or edited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from topcoat.errors import Refused, Where
from topcoat.store.files import digest_bytes, read_record, write_json, write_text
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import Record

__all__ = ["owned_files", "write_owned"]


class _Written(Record):
    """The digest of each file as extraction wrote it, by its path in the project."""

    version: Literal[1] = 1
    files: dict[str, str] = Field(default_factory=dict)


def owned_files(paths: ProjectPaths) -> list[Path]:
    """The files that topcoat wrote and that are still there, edited or not."""
    written = read_record(paths.extracted, _Written) if paths.extracted.exists() else _Written()
    return [path for name in written.files if (path := paths.root / name).is_file()]


def write_owned(paths: ProjectPaths, files: Sequence[tuple[Path, str]], *, overwrite: bool = False) -> None:
    """Write `files`, all or none. topcoat may rewrite them later if nobody else changes them.

    The caller holds `paths.review_lock`. Raises Refused for a file that was edited, or that topcoat never wrote, unless
    `overwrite`.
    """
    written = read_record(paths.extracted, _Written) if paths.extracted.exists() else _Written()
    names = {path: str(path.relative_to(paths.root)) for path, _ in files}
    for path, text in files:
        if path.exists() and not overwrite:
            there = digest_bytes(path.read_bytes())
            if there not in (written.files.get(names[path]), digest_bytes(text.encode())):
                raise Refused(f"{path} was edited, or written by somebody else", where=Where(path), hint="--overwrite")
    digests = {names[path]: digest_bytes(text.encode()) for path, text in files}
    for path, text in files:
        write_text(path, text)
    write_json(paths.extracted, _Written(files=written.files | digests))
