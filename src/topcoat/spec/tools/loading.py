"""Loads a catalog, in whichever form it is written."""

from __future__ import annotations

from pathlib import Path

from topcoat.spec.reading.loader import read_text
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import parse_tool_list

__all__ = ["load_catalog"]


def load_catalog(path: Path) -> Catalog:
    """The catalog written in `path`: a list of tools if its name ends in `.json`, else stubs.

    Raises `InvalidInput` with every mistake of the file.
    """
    source = read_text(path)
    return parse_tool_list(source, path) if path.suffix.lower() == ".json" else parse_stubs(source, path)
