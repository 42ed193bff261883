"""The notebook runs from its first cell to its last, and its model is promoted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "notebooks" / "first_coat.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_no_cell_holds_an_output() -> None:
    assert [cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"] == [[]] * len(CODE)


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path) -> None:
    script = "\n".join(CODE)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "promoted short-1" in done.stdout
    assert list(tmp_path.rglob(".topcoat/models/short-1/config.json"))
