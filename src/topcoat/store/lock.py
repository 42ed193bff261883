"""Locks: one writing command a project at a time, one writer of a file at a time.

The kernel releases a lock when its process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from topcoat.errors import Held, StorageFault, Where
from topcoat.store.files import no_space

__all__ = ["project_lock", "write_lock"]


@contextmanager
def project_lock(path: Path, command: str) -> Iterator[None]:
    """Hold the lock file `path` during the block. A process that is refused the lock is told `command`.

    Releasing the lock empties the file but keeps it: if it were deleted, two processes could lock two files of one
    name. Processes forked inside the block share the lock and must end before it can be taken again. Raises `Held`
    if another process, or this one, holds the lock; `StorageFault` if the file can't be made or the file system has no
    locks.
    """
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(descriptor, _holder(command))
        except BlockingIOError:
            raise _refused(path, os.pread(descriptor, 4096, 0)) from None
        except OSError as error:
            raise _fault(path, error) from error
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Wait for the lock file `path`, and hold it during the block.

    Use it to read, change and write back a file in a moment. Taking it again inside the block waits forever.
    Raises `StorageFault` if the file can't be made or the file system has no locks.
    """
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise _fault(path, error) from error
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _fault(path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _holder(command: str) -> bytes:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(holder).encode()


def _write(descriptor: int, data: bytes) -> None:
    os.ftruncate(descriptor, 0)  # a killed process leaves its line
    os.pwrite(descriptor, data, 0)


def _refused(path: Path, raw: bytes) -> Held:
    """The refusal. It contains what the holder wrote about itself, if anything."""
    message, hint = "another topcoat is running here", "wait until it ends, then run this again"
    try:
        holder = json.loads(raw)
        pid, host, command = int(holder["pid"]), str(holder["host"]), str(holder["command"])
        started = datetime.fromisoformat(holder["started"]).astimezone()
    except (ValueError, TypeError, KeyError, ArithmeticError, OSError):  # not what a topcoat writes
        return Held(message, where=Where(path), hint=hint)
    here = host == socket.gethostname()
    today = started.date() == datetime.now().astimezone().date()
    since = started.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
    place = "" if here else f" on {host}"
    return Held(
        f"{message}: pid {pid}{place}, `{command}`, since {since}",
        where=Where(path),
        hint=f"{hint}, or end it: kill {pid}" if here else hint,
    )


def _fault(path: Path, error: OSError) -> StorageFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(path)
    hint = None
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        known = os.path.exists(path)
        place = shlex.quote(str(next(one for one in (path, *path.parents) if os.path.exists(one))))
        hint = f"chmod u+rw {place}" if known else f"ls -ld {place}"
    return StorageFault(f"can't lock {path}: {error.strerror or error}", where=Where(path), hint=hint)
