"""Commands of topcoat that the studio starts. Each is a process, and does what it does in a terminal."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from topcoat.errors import Refused
from topcoat.store.paths import ProjectPaths

__all__ = ["Job", "Jobs"]

_LONGEST = 200_000
"""Of what a command printed, at most so many bytes are read: the last ones."""


@dataclass(frozen=True, slots=True)
class Job:
    """A command that was started: its words, its process, and the files of what it prints."""

    words: Sequence[str]
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self.process.poll()

    @property
    def printed(self) -> str:
        """Its result on stdout."""
        return self.out.read_text(encoding="utf-8", errors="replace")

    @property
    def said(self) -> str:
        """Its progress and its errors."""
        data = self.err.read_bytes()
        return data[-_LONGEST:].decode("utf-8", "replace")


@dataclass(slots=True)
class Jobs:
    """The latest command of each kind. Safe for threads."""

    _latest: dict[str, Job] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, paths: ProjectPaths, command: Sequence[str], kind: str, *words: str) -> Job:
        """Start `topcoat WORDS`. It has a session of its own, so it goes on if the studio ends.

        Raises `Refused` if the latest one of this kind still runs.
        """
        with self._lock:
            latest = self._latest.get(kind)
            if latest is not None and latest.code is None:
                raise Refused(f"`topcoat {' '.join(latest.words)}` still runs", hint="wait until it ends")
            out, err = (paths.studio_output(f"{kind}.{end}") for end in ("out", "err"))
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open("wb") as printed, err.open("wb") as said:
                process = subprocess.Popen(
                    [*command, *words],
                    cwd=paths.root,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=said,
                    start_new_session=True,
                )
            self._latest[kind] = Job(words, process, out, err)
            return self._latest[kind]

    def latest(self, kind: str) -> Job | None:
        """The latest command of a kind that this studio started."""
        with self._lock:
            return self._latest.get(kind)
