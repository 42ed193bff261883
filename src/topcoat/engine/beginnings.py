"""The beginnings of prompts that model servers keep on disk: what a model computed of a system prompt and its tools.

A beginning is two files. The safetensors file holds what the engine wrote, the JSON file says what it is, and counts
only with it. Token ids aren't stored, only their digests; but what a model computed of tokens shows them to whoever
computes it again, so only the files' owner may read them. Everything here can be computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from topcoat.store.records import Record

__all__ = ["STEP", "Beginnings", "Found", "Kept", "damaged_beginnings", "folder_of"]

STEP = 256
"""Tokens from one mark to the next, and the fewest that are worth a file: reading one takes as long as some of them."""
_VARIABLE = "TOPCOAT_BEGINNINGS"
_ABANDONED = 3600.0
"""Seconds after which a file without its JSON file, or half of one, belongs to no process that still writes it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a model server keeps beginnings, of all models at most `most` bytes, and the digest of its model."""

    folder: Path
    most: int
    model: str

    def environment(self) -> dict[str, str]:
        """What tells it to a server's process."""
        return {_VARIABLE: json.dumps([str(self.folder), self.most, self.model])}

    @classmethod
    def handed_over(cls) -> Kept | None:
        """What this process was told; None if it isn't to keep any."""
        if not (text := os.environ.get(_VARIABLE)):
            return None
        folder, most, model = json.loads(text)
        return cls(Path(folder), most, model)


class BeginningRecord(Record):
    """What a safetensors file is: `length` tokens with this `digest`, computed by `engine`.

    `marks` are the digests of the first `STEP` tokens, twice as many, and so on. `trimmable`: it can be cut to fewer
    tokens. `sha256` is that of the file.
    """

    version: Literal[1] = 1
    engine: str
    length: int
    digest: str
    marks: list[str]
    trimmable: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class Found:
    """A stored beginning whose first `usable` tokens a prompt has. It is whole if `usable` is `record.length`."""

    record: BeginningRecord
    usable: int
    file: Path


class Beginnings:
    """The stored beginnings of one model and engine. `say` is told what a user should know."""

    def __init__(self, kept: Kept, engine: str, say: Callable[[str], None]) -> None:
        self._root = kept.folder
        self._folder = folder_of(kept.folder, kept.model)
        self._most = kept.most
        self._engine = engine
        self._say = say
        self._records: dict[Path, BeginningRecord] | None = None

    def nearest(self, tokens: Sequence[int], held: int) -> Found | None:
        """The beginning that spares a prompt the most tokens, and at least `STEP` more than the `held` ones.

        The prompt's last token is always left to be computed.
        """
        _, marks = _digests(tokens)
        best: Found | None = None
        for file, record in self._known().items():
            usable = _usable(record, tokens, marks)
            if usable < len(tokens) and usable >= max(held + STEP, best.usable + 1 if best else 0):
                best = Found(record, usable, file)
        return best

    def covers(self, tokens: Sequence[int]) -> bool:
        """Whether `tokens` needn't be stored: they are, but for fewer than `STEP` of them, or they are so few."""
        _, marks = _digests(tokens)
        return any(_usable(record, tokens, marks) > len(tokens) - STEP for record in self._known().values()) or (
            len(tokens) < STEP
        )

    def whole(self, found: Found) -> bool:
        """Whether a file is there with the bytes that were written. A damaged one is deleted, and this is said."""
        try:
            if _sha256(found.file) == found.record.sha256:
                os.utime(_record_of(found.file))
                return True
            self.drop(found, "other bytes than were written")
        except FileNotFoundError:  # another process made room, or topcoat gc did
            self._known().pop(found.file, None)
        except OSError as error:
            self.drop(found, str(error))
        return False

    def drop(self, found: Found, why: str) -> None:
        """Delete a file that can't be used, and say it. It is written again when it is computed again."""
        self._known().pop(found.file, None)
        _delete(found.file)
        self._say(f"{found.file.name} of the kept beginnings is damaged ({why}): it is computed again")

    def add(self, tokens: Sequence[int], trimmable: bool, write: Callable[[Path], None]) -> None:
        """Store a beginning that `write` writes to a path. Raises `OSError`. The least recently used make room."""
        digest, marks = _digests(tokens)
        key = hashlib.sha256(f"{self._engine}\n{digest}\n{len(tokens)}".encode()).hexdigest()[:32]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._root.chmod(0o700)
        file = self._folder / f"{key}.safetensors"
        part = file.with_suffix(f".{os.getpid()}.part.safetensors")  # mlx adds the suffix to any other name
        try:
            write(part)
            part.chmod(0o600)
            record = BeginningRecord(
                engine=self._engine,
                length=len(tokens),
                digest=digest,
                marks=marks,
                trimmable=trimmable,
                sha256=_sha256(part),
            )
            part.replace(file)
            _write_text(_record_of(file), record.model_dump_json() + "\n")
        finally:
            part.unlink(missing_ok=True)
        self._known()[file] = record
        self._make_room(file)

    def _known(self) -> dict[Path, BeginningRecord]:
        if self._records is None:
            found = {file: _read_record(file) for file in _files(self._folder)}
            self._records = {
                file: record for file, record in found.items() if record is not None and record.engine == self._engine
            }
        return self._records

    def _make_room(self, newest: Path) -> None:
        found = sorted((_used(file), _size(file), file) for file in _files(self._root, "*/"))
        excess = sum(size for _, size, _ in found) - self._most
        for _, size, file in found:
            if excess > 0 and file != newest:
                _delete(file)
                self._known().pop(file, None)
                excess -= size
        _delete_abandoned(self._root)


def folder_of(folder: Path, model: str) -> Path:
    """Where the beginnings of the model with this digest lie in the folder of all."""
    return folder / hashlib.sha256(model.encode()).hexdigest()[:16]


def damaged_beginnings(folder: Path) -> list[Path]:
    """The files in the folder of all that no server would use. Nothing is deleted. Reads all files."""
    return [file for file in _files(folder, "*/") if not _is_whole(file)]


def _is_whole(file: Path) -> bool:
    record = _read_record(file)
    with contextlib.suppress(OSError):
        return record is not None and _sha256(file) == record.sha256
    return False


def _digests(tokens: Sequence[int]) -> tuple[str, list[str]]:
    """The digest of all tokens, and those of the first `STEP`, twice as many, and so on."""
    total = hashlib.sha256()
    marks = []
    for start in range(0, len(tokens), STEP):
        part = tokens[start : start + STEP]
        total.update(array("q", part).tobytes())
        if len(part) == STEP:
            marks.append(total.hexdigest()[:16])
    return total.hexdigest(), marks


def _usable(record: BeginningRecord, tokens: Sequence[int], marks: Sequence[str]) -> int:
    """How many tokens of a stored beginning a prompt begins with, as far as the marks tell."""
    if record.length <= len(tokens) and _digests(tokens[: record.length])[0] == record.digest:
        return record.length
    if not record.trimmable:
        return 0
    same = 0
    for one, other in zip(record.marks, marks, strict=False):
        if one != other:
            break
        same += STEP
    return same


def _files(folder: Path, between: str = "") -> Iterator[Path]:
    return (file for file in sorted(folder.glob(f"{between}*.safetensors")) if ".part" not in file.suffixes)


def _record_of(file: Path) -> Path:
    return file.with_suffix(".json")


def _read_record(file: Path) -> BeginningRecord | None:
    """The record of a file; None without one that this version can read."""
    with contextlib.suppress(OSError, ValidationError, ValueError):
        return BeginningRecord.model_validate_json(_record_of(file).read_bytes())
    return None


def _write_text(path: Path, text: str) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    part.touch(0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _delete(file: Path) -> None:
    _record_of(file).unlink(missing_ok=True)  # first: without it the other file counts for nothing
    file.unlink(missing_ok=True)


def _delete_abandoned(root: Path) -> None:
    """Delete what killed processes left behind."""
    for path in root.glob("*/*"):
        lone = path.suffix == ".safetensors" and not _record_of(path).exists()
        with contextlib.suppress(OSError):
            if (lone or ".part" in path.suffixes) and time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def _used(file: Path) -> float:
    """When a beginning was used last."""
    with contextlib.suppress(OSError):
        return _record_of(file).stat().st_mtime
    return 0.0


def _size(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
