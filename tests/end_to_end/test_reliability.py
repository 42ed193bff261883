"""A little of each part of the reliability campaign; `make reliability` runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "count"), [("kills", 4), ("lines", 500), ("answers", 500), ("programs", 100), ("requests", 60)]
)
def test_a_little_of_the_campaign_finds_no_fault(part: str, count: int) -> None:
    command = [sys.executable, "-m", "benchmarks.reliability", "--part", part, "--count", str(count), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    (found,) = json.loads(done.stdout)
    assert (found["faults"], found["tried"], done.returncode) == ([], count, 0)
