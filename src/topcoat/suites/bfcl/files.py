"""Finds the leaderboard's files: in the installed package bfcl-eval, in a folder, or in the package's wheel.

The package is never imported here: its code and its many dependencies aren't needed to read its data.
"""

from __future__ import annotations

import ast
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, Self

from topcoat.errors import InvalidInput, Where

__all__ = ["ANSWERS", "FUNCTIONS", "TESTED", "Files", "open_files"]

ANSWERS = "possible_answer"
"""The folder of the ground truth."""

FUNCTIONS = "multi_turn_func_doc"
"""The folder of the functions that multi-turn questions share."""

TESTED = "bfcl-eval==2026.3.23"
"""The newest version whose files are known to be read."""

_PACKAGE = "bfcl_eval"
_VERSION = 4
_NAME = re.compile(r"BFCL_v(?P<version>\d+)_(?P<stem>\w+)\.json")
_DATA = ("", "data", f"{_PACKAGE}/data")
"""Where the files may lie below the source: the data itself, the package, an unpacked wheel."""
_LARGEST = 200_000_000
"""The most bytes of one file: a hundred times as many as the largest one has."""
_CONSTANTS = "executable_backend_config.py"
_MAPPING = "MULTI_TURN_FUNC_DOC_FILE_MAPPING"
_INSTALL = "pip install --no-deps bfcl-eval"
_DOWNLOAD = "pip download --no-deps bfcl-eval, then name the .whl file"


class _Place(Protocol):
    """What a path of a folder and one inside of a zip file have in common."""

    @property
    def name(self) -> str: ...
    def __truediv__(self, other: str, /) -> Self: ...
    def is_file(self) -> bool: ...
    def is_dir(self) -> bool: ...
    def iterdir(self) -> Iterator[Self]: ...
    def read_bytes(self) -> bytes: ...


@dataclass(frozen=True)
class Files:
    """The data of the leaderboard in `folder`, which messages call `path`. `stems` are the categories with a file.

    `package` is the package around it, None if the data lies alone. Python imports that from `importable`: a folder, a
    wheel, or None where it is installed.
    """

    folder: _Place
    path: Path
    stems: tuple[str, ...]
    package: _Place | None = None
    importable: Path | None = None

    def where(self, stem: str, *, answers: bool = False) -> Path:
        """What the file of a category's questions, or of its ground truth, is called."""
        return (self.path / ANSWERS if answers else self.path) / _file(stem)

    def lines(self, stem: str, *, answers: bool = False) -> list[tuple[Where, bytes]]:
        """The lines of that file, each with its place. Raises InvalidInput if it is missing or can't be read."""
        place = (self.folder / ANSWERS if answers else self.folder) / _file(stem)
        return self._lines(place, self.where(stem, answers=answers))

    def functions(self, name: str) -> list[tuple[Where, bytes]]:
        """The lines of the file `name` with the functions of a system of multi-turn questions; raises as `lines`."""
        return self._lines(self.folder / FUNCTIONS / name, self.path / FUNCTIONS / name)

    def systems(self) -> dict[str, str]:
        """The file with the functions of each system, by its name. Raises InvalidInput if the package doesn't say."""
        said = self.path / "the package's code"
        if self.package is not None:
            place = self.package / "constants" / _CONSTANTS
            with _readable(self.path):
                source = place.read_bytes() if place.is_file() else b""
                statements = _statements(source)
            for node in statements:
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == _MAPPING:
                    found: dict[str, str] = ast.literal_eval(node.value)
                    return found
            said = self.path.parent / "constants" / _CONSTANTS
        message = f"{said} doesn't say which functions the multi-turn questions have"
        raise InvalidInput(message, where=Where(self.path), hint=f"{_INSTALL}; or: {_DOWNLOAD}")

    def _lines(self, place: _Place, path: Path) -> list[tuple[Where, bytes]]:
        with _readable(path):
            if not place.is_file():
                raise InvalidInput(f"no such file: {path}", where=Where(self.path), hint=_INSTALL)
            raw = place.read_bytes()
        return [(Where(path, number), line) for number, line in enumerate(raw.split(b"\n"), 1)]


def open_files(source: Path | None) -> Files:
    """The files in `source`: a folder, or a wheel. None: those of the installed package.

    Raises InvalidInput if there are none, or none of the version that is read here.
    """
    path = source or _installed()
    with _readable(path):
        if path.is_dir():
            files = _find(path, path)
            return files if source else replace(files, importable=None)
        if not path.is_file():
            raise InvalidInput(f"no such file or folder: {path}", where=Where(path), hint=_INSTALL)
        if not zipfile.is_zipfile(path):
            message = f"{path} is neither a folder nor a whole wheel"
            raise InvalidInput(message, where=Where(path), hint=_DOWNLOAD)
        return _find(_archive(path), path)


def _installed() -> Path:
    found = find_spec(_PACKAGE)
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        message = "the package bfcl-eval, which holds the leaderboard's files, isn't installed here"
        raise InvalidInput(message, hint=f"{_INSTALL}; or: {_DOWNLOAD}")
    return Path(folders[0])


def _archive(path: Path) -> zipfile.Path:
    archive = zipfile.ZipFile(path)
    large = next((entry.filename for entry in archive.infolist() if entry.file_size > _LARGEST), None)
    if large is not None:
        raise InvalidInput(f"{path} is no wheel of bfcl-eval: {large[:100]} is too large", where=Where(path))
    return zipfile.Path(archive)


def _find(root: _Place, path: Path) -> Files:
    """The files below `root`, which messages call `path`."""
    others: Mapping[str, None] = {}
    for below in _DATA:
        folder = root
        for part in below.split("/") if below else ():
            folder = folder / part
        found = [match for entry in _entries(folder) if (match := _NAME.fullmatch(entry.name)) and entry.is_file()]
        stems = sorted(match["stem"] for match in found if int(match["version"]) == _VERSION)
        if stems:
            return Files(folder, path / below, tuple(stems), *_package(root, path, below))
        others = {**others, **dict.fromkeys(f"BFCL_v{match['version']}" for match in found)}
    if others:
        message = f"{path} holds files of {', '.join(others)}; only those of BFCL_v{_VERSION} can be read"
        raise InvalidInput(message, where=Where(path), hint=f"{_INSTALL} --upgrade")
    message = f"{path} holds no file like {_file('simple_python')}, nor does its data or {_PACKAGE}/data"
    raise InvalidInput(message, where=Where(path), hint=f"{_INSTALL}; or: {_DOWNLOAD}")


def _package(root: _Place, path: Path, below: str) -> tuple[_Place | None, Path | None]:
    """The package whose data lies `below` the root, and from where Python imports it; None, None if it lies alone."""
    if below.startswith(_PACKAGE):
        return root / _PACKAGE, path
    package = path.absolute() if below else path.absolute().parent
    return (package, package.parent) if package.name == _PACKAGE else (None, None)


def _statements(source: bytes) -> list[ast.stmt]:
    """The statements of a module. Raises ValueError for what is none."""
    try:
        return ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None


def _entries(folder: _Place) -> list[_Place]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _file(stem: str) -> str:
    return f"BFCL_v{_VERSION}_{stem}.json"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what a broken folder or archive raises into InvalidInput."""
    try:
        yield
    except InvalidInput:
        raise
    except OSError as error:
        raise InvalidInput(f"can't read {path}: {error.strerror or error}", where=Where(path)) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        message = f"{path} is damaged: {str(error)[:200]}"
        raise InvalidInput(message, where=Where(path), hint=_DOWNLOAD) from None
