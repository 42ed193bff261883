"""Files and folders that exist completely or not at all, whenever the process is killed or the power fails.

A writer writes to a hidden name in the same folder, flushes it to the disk, and renames it: a rename within a folder is
atomic. The price is two flushes for each write (milliseconds on an SSD, tens of them on a Mac, where the drive itself
is told to flush), and disk space for the old and the new content for a moment. The last writer wins; the project lock
keeps two processes from writing at once.

A link is followed: its target is replaced. A stream (/dev/stdout, a pipe) is written to instead.

A killed process leaves its hidden file behind. The next write of the same name removes it: a writer holds a kernel
lock on its hidden file, so a file that nobody holds is a leftover. Needs a file system with `flock`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from topcoat.errors import NumericalFault, Refused, StorageFault, Where
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.store.versions import parse_record

__all__ = [
    "append_line",
    "canonical_json",
    "digest_bytes",
    "digest_of",
    "is_stream",
    "json_text",
    "jsonl_text",
    "no_space",
    "read_record",
    "require_new",
    "staged_folder",
    "write_bytes",
    "write_json",
    "write_text",
]

R = TypeVar("R", bound=BaseModel)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FILE, _FOLDER = ".tmp", ".staging"
_DESCRIPTORS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")
_TOKEN = 12  # random hex digits in a hidden name


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8. Raises `StorageFault`, and leaves `path` unchanged then."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write a record, or a JSON value, indented for people.

    Raises `StorageFault`, or `NumericalFault` for a number that isn't finite, and leaves `path` unchanged then.
    """
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: object, *, indent: int | None = None) -> str:
    """A record, or a JSON value, as JSON. Raises `NumericalFault` for NaN and the infinities, which JSON doesn't have.

    Half a surrogate pair, which UTF-8 doesn't have, becomes "?": an answer with a broken character is still an answer.
    """
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    try:
        text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        name = type(value).__name__
        raise NumericalFault(f"a {name} holds a number that is not finite, so it can't be stored") from None
    return text.encode("utf-8", "replace").decode("utf-8")


def jsonl_text(values: Iterable[BaseModel]) -> str:
    """JSON lines for files that users edit: each line has only the fields that were set."""
    lines = (json.dumps(value.model_dump(mode="json", exclude_unset=True), ensure_ascii=False) for value in values)
    return "".join(f"{line}\n" for line in lines)


def is_stream(path: Path) -> bool:
    """Whether `path` leads to a reader instead of a stored file: a terminal, a pipe, an open descriptor."""
    if str(path).startswith(_DESCRIPTORS):
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def require_new(path: Path, hint: str) -> None:
    """Raise `Refused` unless `path` can become a new file. Call it before the work whose result goes there.

    A stream is always accepted. `hint` says what to do if the file already exists.
    """
    if is_stream(path):
        return
    with _faults("write", path, every=True):
        if path.is_dir():
            raise Refused(f"{path} is a folder, not a file", where=Where(path), hint=hint)
        if os.path.lexists(path):
            raise Refused(f"{path} exists already", where=Where(path), hint=hint)
        parent = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if not parent.is_dir():
            raise Refused(f"can't write {path}: {parent} is a file", where=Where(parent), hint=hint)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise Refused(f"can't write {path}: {parent} is read-only", where=Where(parent), hint=hint)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, and create the folder if necessary. Raises `StorageFault`, and leaves `path` unchanged then."""
    with _faults("write", path, every=True):
        if is_stream(path):
            with path.open("ab") as stream:
                stream.write(data)
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path, _FILE)
        temporary, descriptor = _claim_file(path)
        try:
            with open(descriptor, "wb") as file:  # closing releases the lock: rename first
                file.write(data)
                file.flush()
                _flush(file.fileno())
                os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def append_line(path: Path, text: str) -> None:
    """Add a line to a file of lines, and make the file and its folder if necessary. Raises `StorageFault`.

    Several processes may add lines at once. A killed one leaves at most the begin of its line, which then ends there.
    """
    with _faults("write", path, every=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            torn = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * torn + text.encode("utf-8") + b"\n")


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A folder to build in. It is renamed to `target` when the block ends, and deleted if the block raises.

    Raises `Refused` if `target` exists, `StorageFault` if the disk is full or the folder can't be put in place.
    """
    if os.path.lexists(target):
        raise Refused(f"{target} exists already", where=Where(target), hint=f"mv '{target}' '{target}.old'")
    with _faults("write", target, every=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target, _FOLDER)
        staging, descriptor = _claim_folder(target)
    try:
        with _faults("write", target, every=False):
            yield staging
        with _faults("write", target, every=True):
            _flush_tree(staging)
            os.rename(staging, target)
            _flush_folder(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def read_record(path: Path, model: type[R]) -> R:
    """The record in `path`.

    Raises `StorageFault` if it is missing or damaged, `Refused` if another version of topcoat wrote it.
    """
    with _faults("read", path, every=True):
        raw = path.read_bytes()

    def damaged(mistake: str) -> StorageFault:
        return StorageFault(f"{path} is damaged: {mistake}", where=Where(path), hint=f"mv '{path}' '{path}.damaged'")

    return parse_record(path, model, raw, damaged)


def digest_bytes(data: bytes) -> str:
    """The sha256 of `data`, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def no_space(path: Path) -> StorageFault:
    """The error for a full disk, or an exhausted disk quota, while writing `path`."""
    return StorageFault(
        f"no space left to write {path}",
        where=Where(path),
        hint="free some with `topcoat gc`; what was there before is untouched, so the command can be run again",
    )


@contextmanager
def _faults(verb: str, path: Path, *, every: bool) -> Iterator[None]:
    """Turn a full disk into a `StorageFault`; with `every`, any other `OSError` too."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise no_space(path) from error
        if every:
            raise StorageFault(f"can't {verb} {path}: {error.strerror or error}", where=Where(path)) from error
        raise


def _claim_file(path: Path) -> tuple[Path, int]:
    """A new hidden file beside `path`, and a descriptor that holds its lock."""
    while True:
        temporary = _hidden(path, _FILE)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        if _hold(descriptor, temporary):
            return temporary, descriptor


def _claim_folder(path: Path) -> tuple[Path, int]:
    """A new hidden folder beside `path`, and a descriptor that holds its lock."""
    while True:
        staging = _hidden(path, _FOLDER)
        staging.mkdir()
        descriptor = os.open(staging, os.O_RDONLY)
        if _hold(descriptor, staging):
            return staging, descriptor


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN // 2)}{suffix}")


def _hold(descriptor: int, path: Path) -> bool:
    """Lock a new file or folder. False if another process removed it as a leftover before it was locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
            return True
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:  # no locks on this file system
        os.close(descriptor)
        _remove(path)
        raise
    os.close(descriptor)
    return False


def _remove(path: str | Path) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _sweep(path: Path, suffix: str) -> None:
    """Remove the leftovers of killed processes beside `path`. Best effort: a remaining one does no harm."""
    prefix = f".{path.name}."
    for name in os.listdir(path.parent):
        token = name.removeprefix(prefix).removesuffix(suffix)
        if name != f"{prefix}{token}{suffix}" or len(token) != _TOKEN:
            continue
        leftover = path.with_name(name)
        with contextlib.suppress(OSError):
            descriptor = os.open(leftover, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(leftover)
            finally:
                os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    """Flush `folder`, and every file and folder under it, to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                _flush_path(path)
        _flush_folder(Path(parent))


def _flush_path(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    try:
        _flush_path(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems can't flush folders
            raise


def _flush(descriptor: int) -> None:
    if sys.platform == "darwin":  # there, fsync alone leaves the data in the drive's cache
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)
