"""The Flywheel from end to end: sessions of work with the served model, one cycle, and a better model in production."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.scripted_users import Worked, tasks, work_through
from tests.support.usage.serving import serving
from topcoat.calls.answer import Run
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.demo import TEMPLATE
from topcoat.spec.agent import Agent
from topcoat.spec.example import load_examples
from topcoat.spec.tools.loading import load_catalog

SESSIONS = 200


@pytest.mark.slow
@pytest.mark.timeout(1200)  # three minutes on two idle cores
def test_weak_categories_improve_because_of_captured_usage_alone(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("__pycache__", "phase34a*"))
    with serving(project) as running:
        done = work_through(running.url, project, tasks(SESSIONS, random.Random(0)))
        assert running.end() == 0
    said = re.search(r"(\d+) exchanges recorded", running.printed[-1])
    assert said
    assert int(said[1]) >= 2 * SESSIONS
    wrong = [one for one in done if one.way != "at once"]
    assert 0.15 < len(wrong) / SESSIONS < 0.8

    assert topcoat(project, "cycle", "--review")["stopped"]
    judge_by_means(project / "phases" / "cycle1.toml")
    turned = topcoat(project, "cycle")
    assert_learned_right(project, done)
    before, after = (means(turned["attempts"][-1][side]) for side in ("before", "after"))
    assert after["domain"] > before["domain"] + 0.1
    assert after["multi_tool"] > before["multi_tool"] + 0.1
    expected = turned["attempts"][-1]["model"] if turned["promoted"] else "phase33b"
    assert topcoat(project, "status")["production"] == expected


def judge_by_means(phase: Path) -> None:
    """Let the suite's cases alone decide: thousands of guard cases are what `tests/phases/judging` tests."""
    text = phase.read_text()
    assert text.count("[gate]\n") == 1
    phase.write_text(text.replace("[gate]\n", '[gate]\nevidence = "mean"\n'))


def topcoat(project: Path, *command: str) -> Any:
    """What a command prints as JSON."""
    run = [sys.executable, "-m", "topcoat", "--project", str(project), *command, "--json"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def assert_learned_right(project: Path, done: list[Worked]) -> None:
    """Every example answers a user's first question with the calls that were wanted, and is of the kind that it was."""
    asked = {one.task.question: one for one in done}
    catalog = load_catalog(project / "tools.pyi")
    examples = [located.example for located in load_examples(project / "data" / "cycle1.jsonl")]
    assert len(examples) >= 40
    assert sum((e.model_extra or {})["kind"] == "user_correction" for e in examples) >= 10
    with Sandbox(catalog) as sandbox:
        for example in examples:
            question, answer = (message.content or "" for message in example.messages[-2:])
            one = asked[question.split("\n")[0]]
            assert calls(sandbox.run(parse(answer, Agent(catalog)).programs)) == calls(sandbox.run([one.task.code]))
            assert ((example.model_extra or {})["kind"] == "user_correction") == (one.way != "at once")


def calls(run: Run) -> list[object]:
    assert run.problem == ""
    return [(call.tool, call.args, dict(call.kwargs)) for call in run.calls]


def means(result: dict[str, Any]) -> dict[str, float]:
    return {category["category"]: category["mean"] for category in result["categories"]}
