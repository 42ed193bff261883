"""Scripts run by their path. `python benchmarks/training.py` puts the script's folder first on Python's path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["benchmarks", "tools", "docs"])
def test_no_script_hides_a_module_of_python(folder: str) -> None:
    hidden = [path.name for path in (ROOT / folder).glob("*.py") if path.stem in sys.stdlib_module_names]
    assert hidden == []
