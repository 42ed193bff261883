"""A package can be seen at a glance, and a module read in one sitting: docs/architecture.md names the two limits."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "topcoat"
MOST_MODULES = 12
MOST_LINES = 450


def test_no_package_holds_more_than_a_dozen_modules() -> None:
    packages = sorted({path.parent for path in SOURCE.rglob("*.py")})
    held = {
        str(package.relative_to(SOURCE)): sum(path.name != "__init__.py" for path in package.glob("*.py"))
        for package in packages
    }
    assert {package: number for package, number in held.items() if number > MOST_MODULES} == {}


def test_no_module_is_longer_than_450_lines() -> None:
    lengths = {str(path.relative_to(SOURCE)): path.read_bytes().count(b"\n") for path in SOURCE.rglob("*.py")}
    assert {module: lines for module, lines in lengths.items() if lines > MOST_LINES} == {}
