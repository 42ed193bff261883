"""The checks of data files, made in a thread of their own and kept until a file changes."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from topcoat.errors import InvalidInput
from topcoat.examples.checks.check import check_categories, check_examples, check_repeats
from topcoat.examples.checks.codes import finding
from topcoat.examples.reading import read_examples
from topcoat.project.project import Project
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Suite
from topcoat.store.records import Finding

__all__ = ["Checks", "file_state"]

_PATIENCE = 0.1
"""In seconds. Pages don't wait longer for a check: it goes on, and the page loads again."""
_MOST = 32

_Key = tuple[str, ...]


@dataclass(slots=True)
class Checks:
    """The findings of files that were asked for lately. Safe for threads."""

    _made: dict[_Key, Future[list[Finding]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "checks"))

    def findings(self, project: Project, path: Path) -> list[Finding] | None:
        """What the checks find in a file alone, in the order of its lines; None while they aren't finished.

        Programs aren't run, and nothing is compared with other files: `topcoat check` does that for a phase.
        """
        key = tuple(file_state(one) for one in (path, project.suite.path, project.settings.catalog))
        with self._lock:
            if key not in self._made:
                while len(self._made) >= _MOST:
                    del self._made[next(iter(self._made))]
                self._made[key] = self._thread.submit(_check, path, project.paths.root, project.suite, project.agent)
            check = self._made[key]
        try:
            return check.result(_PATIENCE)
        except TimeoutError:
            return None


def file_state(path: Path) -> str:
    """What tells whether a file is as it was."""
    found = path.stat()
    return f"{path} {found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _check(path: Path, root: Path, suite: Suite, agent: Agent) -> list[Finding]:
    try:
        examples, found = read_examples(path, root)
    except InvalidInput as error:
        return [
            finding("not-chat", "error", mistake.where, mistake.message, mistake.hint or "write one dialogue a line")
            for mistake in error.mistakes
            if mistake.where is not None
        ]
    found += check_examples(examples, suite, agent)
    found += check_repeats(examples)
    found += check_categories(examples, list(dict.fromkeys(case.category for case in suite.cases)))
    return sorted(found, key=lambda one: (_line(one), one.code))


def _line(found: Finding) -> int:
    line = found.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0
