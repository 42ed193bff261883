"""Seals: what the results in a folder were made from, and the sha256 of each file.

A result is only used again if both agree. So a folder that lies in the wrong place, or a file that changed, is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, JsonValue

from topcoat.errors import StorageFault
from topcoat.progress import Note, Sink
from topcoat.store.files import read_record, write_json
from topcoat.store.records import Record

__all__ = ["SEAL", "Origin", "ResultFolder", "Seal", "damages", "file_digests", "read_seal", "seal", "unusable"]

R = TypeVar("R", bound=BaseModel)

SEAL = "seal.json"
"""The name of the seal in a folder."""

Origin = Mapping[str, JsonValue]
"""What results were made from, by name. Equal origins give equal results."""


class Seal(Record):
    """The seal of a folder. `files` has the sha256 of each file, by its path in the folder.

    `elsewhere` has the digests of what was made together with the files and lies in another place.
    """

    version: Literal[1] = 1
    made_from: dict[str, JsonValue]
    files: dict[str, str] = Field(default_factory=dict)
    elsewhere: dict[str, str] = Field(default_factory=dict)


def read_seal(folder: Path) -> Seal | None:
    """The seal of `folder`. None if it has none that can be read. Raises `Refused` for a newer topcoat's."""
    try:
        return read_record(folder / SEAL, Seal)
    except StorageFault:
        return None


def seal(folder: Path, made_from: Origin, paths: Iterable[Path], elsewhere: Mapping[str, str] | None = None) -> None:
    """Write the seal of `folder` over the files in `paths`: files, or folders with all their files."""
    files = file_digests(folder, paths)
    write_json(folder / SEAL, Seal(made_from=dict(made_from), files=files, elsewhere=dict(elsewhere or {})))


def damages(folder: Path, sealed: Seal, within: Path | None = None) -> list[str]:
    """The sealed files of `folder` that are gone or changed, each in a few words. `within` limits them to one path."""
    return [
        f"{name} is gone" if not (folder / name).is_file() else f"{name} is damaged"
        for name, digest in sealed.files.items()
        if (within is None or (folder / name).is_relative_to(within)) and _digest_or_none(folder / name) != digest
    ]


def file_digests(folder: Path, paths: Iterable[Path] = ()) -> dict[str, str]:
    """The sha256 of each file in `paths`, by its path in `folder`: files, or folders with all their files.

    Without `paths`, of all files of `folder`. Raises OSError.
    """
    found = [file for path in paths or [folder] for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return {str(file.relative_to(folder)): _digest(file) for file in found if file.is_file()}


def unusable(folder: Path, made_from: Origin) -> str:
    """Why the results in `folder` can't be used as those of `made_from`, in a few words. "" if they can."""
    sealed = read_seal(folder)
    if sealed is None:
        return "it has no seal that can be read"
    if sealed.made_from != dict(made_from):
        return "it was made from something else"
    return "; ".join(damages(folder, sealed))


class ResultFolder:
    """A folder that receives results one after another, all made from the same origin."""

    def __init__(self, folder: Path, made_from: Origin, sink: Sink, *, since: datetime | None = None) -> None:
        """Open the folder, or make it. A folder with results of another origin is renamed first, with a warning.

        Earlier versions wrote no seal. A folder without one is taken if its files were written after `since`.
        """
        self.folder = folder
        self._sink = sink
        self._seal = Seal(made_from=dict(made_from))
        found = read_seal(folder)
        if found is not None and found.made_from == self._seal.made_from:
            self._seal = found
            return
        files = [path for path in folder.rglob("*") if path.is_file()]
        if files and found is None and since and all(path.stat().st_mtime >= since.timestamp() for path in files):
            own = [path for path in folder.iterdir() if path.suffix == ".json" or path.name == "adapter"]
            self._seal = self._seal.model_copy(update={"files": file_digests(folder, own)})
            sink.emit(Note(f"{folder}: taken as an earlier version left it, without a seal", warning=True))
        elif files:
            self._set_aside(found)
        write_json(folder / SEAL, self._seal)

    @property
    def made_from(self) -> Origin:
        return self._seal.made_from

    def stored(
        self,
        path: Path,
        record: type[R],
        compute: Callable[[], R],
        *,
        beside: Path | None = None,
        elsewhere: Mapping[str, Callable[[], str]] | None = None,
    ) -> R:
        """The record in `path`. If it doesn't exist, or not as it was sealed, compute and store it.

        `beside` is a folder that `compute` writes too, `elsewhere` gives the digests of what it writes in other places.
        """
        outside = elsewhere or {}
        if path.is_file():
            wrong = self._wrong([path, *([beside] if beside else [])], outside)
            if not wrong:
                return read_record(path, record)
            self._sink.emit(Note(f"{self.folder}: {wrong}, and is made again", warning=True))
        result = compute()
        write_json(path, result)
        self.add([path, *([beside] if beside else [])], {name: digest() for name, digest in outside.items()})
        return result

    def add(self, paths: Iterable[Path], elsewhere: Mapping[str, str] | None = None) -> None:
        """Add files, or folders with all their files, to the seal."""
        files = self._seal.files | file_digests(self.folder, paths)
        outside = self._seal.elsewhere | dict(elsewhere or {})
        self._seal = self._seal.model_copy(update={"files": files, "elsewhere": outside})
        write_json(self.folder / SEAL, self._seal)

    def _wrong(self, paths: Iterable[Path], elsewhere: Mapping[str, Callable[[], str]]) -> str:
        """What is wrong with results, in a few words; "" if they are as they were sealed."""
        for path in paths:
            if not any((self.folder / sealed).is_relative_to(path) for sealed in self._seal.files):
                return f"{path.name} was not finished"
            damaged = damages(self.folder, self._seal, path)
            if damaged:
                return damaged[0]
        for name, digest in elsewhere.items():
            if name not in self._seal.elsewhere:
                return f"{name} was not finished"
            if self._seal.elsewhere[name] != digest():
                return f"{name} is gone or damaged"
        return ""

    def _set_aside(self, found: Seal | None) -> None:
        number, aside = 1, self.folder.with_name(f"{self.folder.name}.aside")
        while aside.exists():
            number, aside = number + 1, self.folder.with_name(f"{self.folder.name}.aside-{number + 1}")
        self.folder.rename(aside)
        if found is None:
            reason = "nothing says what its results were made from"
        else:
            ours, theirs = self._seal.made_from, found.made_from
            other = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
            reason = f"its results were made from something else ({', '.join(other)})"
        self._sink.emit(Note(f"{self.folder} is not used: {reason}; it is {aside.name} now", warning=True))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_or_none(path: Path) -> str | None:
    try:
        return _digest(path)
    except OSError:
        return None
