"""`topcoat serve` with a candidate, as a process: what it says, what it refuses, and that all of it ends."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.usage.serving import is_alive, serving
from tests.support.usage.swaps import add_fake, ask_many
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.store.paths import ProjectPaths
from topcoat.usage.capture.candidate.records import ShadowPair


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two fake models in its lineage: `phase33b`, which is production, and `other`."""
    made = tmp_path / "project"
    shutil.copytree(TEMPLATE, made, ignore=shutil.ignore_patterns("models"))
    call = json.dumps({"name": "execute_code", "arguments": {"code": "ruff_check(path='a.py')"}})
    FakeEngine.create(made / "models" / "phase33b", [("anything", f"<tool_call>{call}</tool_call>")])
    add_fake(made, "other", "there at " * 12)
    return made


def refused(project: Path, *arguments: str) -> str:
    topcoat = [sys.executable, "-m", "topcoat", "--engine", "fake", "--project", str(project), "serve", "--port", "0"]
    done = subprocess.run([*topcoat, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode not in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_shadow_is_never_seen_and_ends_with_serve(project: Path, number: int) -> None:
    with serving(project, "--shadow", "other", "--share", "1", engine="fake") as running:
        questions = [f"anything, {n}" for n in range(12)]
        asked, failed = ask_many(running.url, questions, at_a_time=4, max_tokens=400)
        assert failed == []
        assert {answer.model for answer in asked} == {"phase33b"}
        assert not any("there" in answer.text for answer in asked)
        children = running.children()
        assert len(children) == 2
        assert running.end(number) == 0
        assert not any(map(is_alive, children))
    printed = "".join(running.printed)
    assert "other answers 100% of the requests unseen" in printed
    lines = ProjectPaths(project).shadow.read_text().splitlines()
    pairs = [ShadowPair.model_validate_json(line) for line in lines]
    assert f"other answered {len(pairs)} request" in printed
    assert pairs
    assert {(pair.production, pair.candidate, pair.same) for pair in pairs} == {("phase33b", "other", False)}
    assert {(pair.shown.valid, pair.hidden.valid) for pair in pairs} == {(True, None)}


@pytest.mark.slow
def test_a_candidate_that_cant_be_one_is_refused(project: Path) -> None:
    assert "phase33b is the production model" in refused(project, "--shadow", "phase33b")
    assert "othre" in refused(project, "--shadow", "othre")
    assert "--shadow other" in refused(project, "--shadow", "other", "--upstream", "http://127.0.0.1:9/v1")
