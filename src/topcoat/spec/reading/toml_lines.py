"""Finds the line of each key in a TOML source, which `tomllib` doesn't tell.

Only for sources that `tomllib` has accepted: nothing is checked again.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

__all__ = ["KeyPath", "key_lines", "repeated_key"]

KeyPath = tuple[str | int, ...]
"""Keys and array indices from the top of the document down, as in `data["a"][0]["b"]`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]+")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    re.compile(r"'[^']*'"),
)


def key_lines(source: str) -> dict[KeyPath, int]:
    """The line, from 1, of every table, key and array element of `source`.

    An implied table (`a` in `[a.b]`) has the line of its first mention.
    """
    scanner = _Scanner(source)
    scanner.document()
    return scanner.lines


def repeated_key(source: str) -> tuple[KeyPath, int, int] | None:
    """The first key or table that is written twice, and its two lines. `source` is otherwise valid.

    None if there is none, or if it can't be found.
    """
    scanner = _Scanner(source)
    try:
        scanner.document()
    except (IndexError, ValueError):
        return None
    return scanner.repeated


class _Scanner:
    """Walks the source once, from the position `at`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.lengths: dict[KeyPath, int] = {}  # lengths of the arrays of tables so far
        self.opened: set[KeyPath] = set()  # tables with a header of their own
        self.repeated: tuple[KeyPath, int, int] | None = None
        self.newlines = [i for i, char in enumerate(source) if char == "\n"]

    def document(self) -> None:
        table: KeyPath = ()
        self.skip(_BLANK)
        while self.at < len(self.source):
            if self.source.startswith("[[", self.at):
                table = self.header("[[")
            elif self.source[self.at] == "[":
                table = self.header("[")
            else:
                self.pair(table)
            self.skip(_BLANK)

    def header(self, bracket: str) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]`. Return the path of the table that it opens."""
        line = self.line()
        self.at += len(bracket)
        keys = self.key()
        self.at += len(bracket)
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self.newest((*path, key))
            self.lines.setdefault(path, line)
        path = (*path, keys[-1])
        if bracket == "[":
            path = self.newest(path)
            if path in self.opened:
                self.repeat(path, line)
            self.opened.add(path)
            self.lines[path] = line
            return path
        index = self.lengths.get(path, 0)
        self.lengths[path] = index + 1
        self.lines.setdefault(path, line)
        self.lines[(*path, index)] = line
        return (*path, index)

    def newest(self, path: KeyPath) -> KeyPath:
        """`path`, or its last element so far if it is an array of tables."""
        return (*path, self.lengths[path] - 1) if path in self.lengths else path

    def pair(self, table: KeyPath) -> None:
        """Read `a.b = value`."""
        line = self.line()
        path = table
        keys = self.key()
        if (*table, *keys) in self.lines:
            self.repeat((*table, *keys), line)
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def key(self) -> list[str]:
        """Read a key and the spaces after it. Return its parts."""
        parts: list[str] = []
        while True:
            self.skip(_SPACE)
            if self.source[self.at] in "\"'":
                start = self.at
                self.string()
                parts.append(tomllib.loads(f"k = {self.source[start : self.at]}")["k"])
            else:
                parts.append(self.skip(_BARE))
            self.skip(_SPACE)
            if self.source[self.at] != ".":
                return parts
            self.at += 1

    def value(self, path: KeyPath) -> None:
        first = self.source[self.at]
        if first in "\"'":
            self.string()
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            self.skip(_SCALAR)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        self.skip(_BLANK)
        index = 0
        while self.source[self.at] != "]":
            self.lines[(*path, index)] = self.line()
            self.value((*path, index))
            self.separator()
            index += 1
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self.skip(_BLANK)
        while self.source[self.at] != "}":
            self.pair(path)
            self.separator()
        self.at += 1

    def separator(self) -> None:
        self.skip(_BLANK)
        if self.source[self.at] == ",":
            self.at += 1
            self.skip(_BLANK)

    def string(self) -> None:
        for pattern in _STRINGS:
            match = pattern.match(self.source, self.at)
            if match:
                self.at = match.end()
                return
        raise self.unexpected()

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Skip the match of `pattern` at this position, and return it."""
        match = pattern.match(self.source, self.at)
        if match is None:
            raise self.unexpected()
        self.at = match.end()
        return match[0]

    def unexpected(self) -> ValueError:
        return ValueError(f"not a TOML source that tomllib accepts: {self.source[self.at : self.at + 20]!r}")

    def repeat(self, path: KeyPath, line: int) -> None:
        self.repeated = self.repeated or (path, self.lines[path], line)

    def line(self) -> int:
        return bisect_right(self.newlines, self.at) + 1
