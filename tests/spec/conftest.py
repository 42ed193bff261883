"""Fixtures of the spec tests: a catalog, and a way to read the mistakes of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mistakes import MistakesOf, Reader
from topcoat.errors import InvalidInput
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs

STUBS = """
class Status:
    branch: str
    dirty: bool

def git_status(path: str = ".") -> Status: ...
def grep(pattern: str, path: str) -> list[str]: ...
def anything(**options: str) -> None: ...
"""


@pytest.fixture
def catalog() -> Catalog:
    return parse_stubs(STUBS, Path("tools.pyi"))


@pytest.fixture
def mistakes_of(tmp_path: Path) -> MistakesOf:
    """Write a text, read it with a loader, and give back (line, message) of every mistake; the loader must refuse."""

    def read(loader: Reader, text: str | bytes) -> list[tuple[int | None, str]]:
        path = tmp_path / "written.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InvalidInput) as caught:
            loader(path)
        for mistake in caught.value.mistakes:
            assert mistake.where is not None
            assert mistake.where.path == path
        return [(m.where.line if m.where else None, m.message) for m in caught.value.mistakes]

    return read
