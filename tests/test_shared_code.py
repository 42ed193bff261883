"""What tests share stands in tests/support: a test module may be moved, renamed or deleted without breaking another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules of tests/ that a module imports, and the names that it takes from its packages."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith(("tests.", "."))}


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(TESTS)) for path in MODULES])
def test_what_is_shared_stands_in_support(path: Path) -> None:
    assert [name for name in imported(path) if not name.startswith("tests.support.")] == []
