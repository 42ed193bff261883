"""The real leaderboard: all of it becomes a suite, and its own checker says of answers what topcoat's scores say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wheels import bfcl_wheel
from topcoat.spec.agent import Agent
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.suites.bfcl.categories import CATEGORIES
from topcoat.suites.bfcl.importing import import_bfcl

ROOT = Path(__file__).parents[2]
QUESTIONS = 400 + 3 * 200 + 240 + 258 + 1053 + 16 + 24 + 884 + 16
"""How many the files hold."""
IMPOSSIBLE = {"live_simple_106-63-0", "live_simple_112-68-0", "live_multiple_862-181-3", "live_multiple_964-207-0"}
"""The leaderboard's checker finds every answer wrong."""
IN_A_ROW = {"live_irrelevance_292-72-1", "live_irrelevance_298-73-5", "live_irrelevance_527-162-2"}
"""Two turns of the user follow each other."""
CONTRADICTIONS = {"live_irrelevance_118-7-8", "live_irrelevance_565-173-0", "live_irrelevance_567-175-0"}
"""Another category asks the same question of the same tools, and expects a call."""


@pytest.mark.slow
def test_the_whole_leaderboard_becomes_a_suite(tmp_path: Path) -> None:
    done = import_bfcl(bfcl_wheel(), tmp_path / "bfcl.jsonl")
    suite = load_suite(tmp_path / "bfcl.jsonl", Agent(own_catalog([], Path("tools.json")), calls="native"))
    assert suite.categories == tuple(CATEGORIES)
    assert {left.id for left in done.left_out} == IMPOSSIBLE | IN_A_ROW | CONTRADICTIONS
    assert len(suite.cases) + len(done.left_out) == QUESTIONS
    assert {unread.category for unread in done.unread} >= {"simple_java", "simple_javascript", "multi_turn_base"}


@pytest.mark.slow
def test_the_leaderboard_s_checker_agrees(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.bfcl_agreement", str(bfcl_wheel()), "--answers", "5000", "--seed", "2"]
    subprocess.run([*command, "--json", str(tmp_path / "found.json")], cwd=ROOT, check=True, timeout=280)
    found = json.loads((tmp_path / "found.json").read_text())
    right = [one for one in found if not one["fault"]]
    assert len(found) == 5000
    assert min(len(right), len(found) - len(right)) > 1000
    assert {one["category"] for one in found} == {*CATEGORIES}
    assert len({one["kind"] for one in found}) > 50
    different = [one for one in found if not one["agree"]]
    assert [one for one in different if not one["explanation"]] == []
    assert len(different) / len(found) <= 0.005
