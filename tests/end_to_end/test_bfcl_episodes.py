"""The leaderboard's multi-turn questions as episodes: topcoat and the leaderboard's checker say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wheels import bfcl_wheel

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_right_calls_solve_every_episode_and_others_none_that_the_leaderboard_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.bfcl_episodes", str(bfcl_wheel()), "--most", "20", "--changes", "2"]
    subprocess.run([*command, "--json", str(tmp_path / "found.json")], cwd=ROOT, check=True, timeout=280)
    found = json.loads((tmp_path / "found.json").read_text())
    right = found.pop("right")
    assert right["answers"] == right["solved"] == right["leaderboard"] >= 15
    assert set(found) == {"dropped", "changed", "added"}
    assert sum(row["too_kind"] for row in found.values()) == 0
    answers = sum(row["answers"] for row in found.values())
    assert sum(row["agree"] for row in found.values()) >= 0.99 * answers
    assert 0 < sum(row["leaderboard"] for row in found.values()) < answers
