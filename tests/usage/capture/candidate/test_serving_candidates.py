"""`topcoat serve` with a candidate, as a process: what it says, what it refuses, and that all of it ends."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.usage.awaited import let_await, standing
from tests.support.usage.serving import is_alive, serving
from tests.support.usage.swaps import add_fake, add_model, ask_many, stuck_model
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx import open_engine
from topcoat.progress import Silent
from topcoat.store.paths import ProjectPaths
from topcoat.suites.evidence.two_samples import decisive_look
from topcoat.usage.capture.candidate.records import CanaryLook, ShadowPair
from topcoat.usage.capture.candidate.trial import Trial


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
    assert "a shadow or a canary" in refused(project, "--shadow", "other", "--canary", "other")
    assert "other would be asked nothing: --share is 0" in refused(project, "--canary", "other", "--share", "0")
    assert "other would be compared with nothing" in refused(project, "--canary", "other", "--share", "1")
    assert "--share is of a shadow or a canary, and none is named" in refused(project, "--share", "0.5")
    assert "--sessions is of a canary, and none is named" in refused(project, "--shadow", "other", "--sessions", "9")
    assert "othre" in refused(project, "--shadow", "othre")
    assert "--shadow other" in refused(project, "--shadow", "other", "--upstream", "http://127.0.0.1:9/v1")


@pytest.mark.slow
def test_the_embedded_model_made_worse_is_sent_back_in_time(tmp_path: Path) -> None:
    """`other` says two words until its limit. How often production goes wrong is measured in the same trial."""
    made = tmp_path / "project"
    shutil.copytree(TEMPLATE, made)
    add_model(made, "other", open_engine(Silent()), stuck_model)
    arguments = ("--swap", "beside", "--canary", "other", "--share", "0.5", "--sessions", "40")
    with serving(made, *arguments) as running:
        models: list[str] = []
        for folder in ("src", "tests", "tools", "shared", "common", "web", "api"):
            questions = [f"Could you run ruff on {folder}/{file}.py?" for file in ("app", "models", "users", "client")]
            asked, failed = ask_many(running.url, questions, at_a_time=1)
            assert failed == []
            models += [answer.model for answer in asked]
            assert [answer for answer in asked if answer.giver != answer.model] == []
            if "other is sent back" in "".join(running.printed):
                break
        after, failed = ask_many(running.url, ["Could you run pytest on tests/app?"] * 6, at_a_time=1)
        assert (failed, {answer.model for answer in after}) == ([], {"phase33b"})
        children = running.children()
        assert running.end() == 0
        assert not any(map(is_alive, children))
    lines = [CanaryLook.model_validate_json(line) for line in ProjectPaths(made).canary.read_text().splitlines()]
    last = lines[-1]
    assert (last.decision, set(last.candidate.kinds)) == ("worse", {"cut answer"})
    mine, others = [group.wrong / group.sessions for group in (last.candidate, last.production)]
    needed = decisive_look(mine, others, 0.5, Trial(40).looks)
    assert needed is not None
    assert last.candidate.sessions <= needed.cases
    assert models.count("other") <= needed.cases + 1  # one more may begin while the last answer is read


@pytest.mark.slow
@pytest.mark.parametrize("how", ["promoted", "discarded"])
def test_a_model_of_the_embedded_kind_that_awaits_its_canary_is_decided_by_its_sessions(
    tmp_path: Path, how: str
) -> None:
    """A copy of production shows no difference and is promoted; one that says two words is discarded."""
    made = tmp_path / "project"
    shutil.copytree(TEMPLATE, made)

    def copy(path: Path) -> None:
        shutil.copytree(TEMPLATE / "models" / "phase33b", path)

    make = copy if how == "promoted" else stuck_model
    let_await(made, make, engine=open_engine(Silent()))
    with serving(made, "--swap", "beside") as running:
        wait_until(lambda: "candidate answers 50% of the new sessions" in "".join(running.printed))
        models: list[str] = []
        for number in range(60):
            asked, failed = ask_many(running.url, [f"Could you run ruff on src/part{number}.py?"], at_a_time=1)
            assert failed == []
            models += [answer.model for answer in asked]
            if f"candidate is {how}" in "".join(running.printed):
                break
        production = "candidate" if how == "promoted" else "phase33b"
        if how == "promoted":
            wait_until(lambda: "serving candidate" in "".join(running.printed))
        after, failed = ask_many(running.url, ["Could you run pytest on tests/app?"] * 4, at_a_time=1)
        assert (failed, {answer.model for answer in after}) == ([], {production})
        wait_until(lambda: len(running.children()) == 1)
        children = running.children()
        assert running.end() == 0
        assert not any(map(is_alive, children))
    assert set(models) == {"candidate", "phase33b"}
    assert standing(made) == (how, production)
    last = CanaryLook.model_validate_json(ProjectPaths(made).canary.read_text().splitlines()[-1])
    assert (last.decision, last.phase) == ("undecided" if how == "promoted" else "worse", "phase35")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
