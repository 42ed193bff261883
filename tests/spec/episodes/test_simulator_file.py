from __future__ import annotations

from pathlib import Path

import pytest

from topcoat.errors import Where
from topcoat.spec.episodes.simulator_file import simulator_mistakes

TOOLS = ["order", "clock"]
WHOLE = "class Shop:\n    def order(self): ...\n    def clock(self): ...\n"


def faults(tmp_path: Path, source: str | None, written: str = "sim.py:Shop") -> list[tuple[str, int | None]]:
    if source is not None:
        (tmp_path / "sim.py").write_text(source)
    found = simulator_mistakes(written, Where(tmp_path / "suite.jsonl", 3), TOOLS)
    return [(mistake.message.replace(str(tmp_path), "."), mistake.where.line) for mistake in found if mistake.where]


@pytest.mark.parametrize(
    "source",
    [
        WHOLE,
        f"{WHOLE}class Mine(Base): ...\nShop = Shop\n",
        "class Base:\n    def order(self): ...\nclass Shop(Base):\n    def clock(self): ...\n",
        "class Shop:\n    def __getattr__(self, name): ...\n",
        "from elsewhere import Base\nclass Shop(Base): ...\n",
        "class Shop:\n    def order(self): ...\n    clock = order\n",
        "class Shop(Shop):\n    def order(self): ...\n    def clock(self): ...\n",
    ],
)
def test_a_whole_simulator(tmp_path: Path, source: str) -> None:
    assert faults(tmp_path, source) == []


def test_faults_have_their_line(tmp_path: Path) -> None:
    assert faults(tmp_path, "\nclass Shop:\n    def order(self): ...\n") == [
        ('Shop has no method "clock", and ./suite.jsonl:3 needs it', 2)
    ]
    assert faults(tmp_path, "class Shop:\n  def order(\n") == [("simulator: '(' was never closed", 2)]
    assert faults(tmp_path, WHOLE, "sim.py:Shp") == [('simulator: sim.py has no class "Shp"', 3)]
    assert faults(tmp_path, None, "other.py:Shop") == [("simulator: no such file: ./other.py", 3)]
    assert faults(tmp_path, WHOLE, "sim.py") == [('simulator: "sim.py" is no FILE:CLASS', 3)]
