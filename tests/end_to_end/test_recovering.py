"""The phase that teaches to recover (benchmarks/recovering): its cases, its dialogues, its project."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from benchmarks.recovering.__main__ import make_project, table
from benchmarks.recovering.dialogues import KNOWN, NEW, RECOVER, WORKS, Scene, cases, examples, played, scenes
from benchmarks.recovering.failures import FAILURES
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.phases.preparation import prepare
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.spec.agent import Agent
from topcoat.spec.tools.loading import load_catalog

AGENT = Agent(load_catalog(TEMPLATE / "tools.pyi"), "You are an agent.", "code")
ASKED = scenes("cases", 6, 12, "0")
WORD = "[A-Z]?[a-z]+"
TAUGHT = scenes("examples", 30, 20, "0")


def failing(drawn: dict[str, Scene]) -> dict[str, Scene]:
    return {name: scene for name, scene in drawn.items() if scene.failure is not None}


def form(scene: Scene) -> str:
    """A reason without its names."""
    values = sorted((value for value in scene.values.values() if value in scene.reason), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, values)), "_", scene.reason)


@pytest.mark.slow
def test_the_right_answers_solve_every_case() -> None:
    ends = played({name: scene.script for name, scene in ASKED.items()}, ASKED, AGENT)
    assert [(end.score.case_id, end.score.reason) for end in ends] == [(name, "as expected") for name in ASKED]


@pytest.mark.slow
def test_no_case_is_solved_without_the_value_that_the_failure_tells() -> None:
    asked = {name: scene for name, scene in failing(ASKED).items() if name.endswith(("-01", "-02"))}
    again = {name: [scene.answer(False), scene.answer(False), "Done."] for name, scene in asked.items()}
    silent = {name: [scene.answer(False), "Done."] for name, scene in asked.items()}
    at_once = {name: [scene.answer(True), "Done."] for name, scene in asked.items()}
    for scripts in (again, silent, at_once):
        assert [end.score.value for end in played(scripts, asked, AGENT)] == [0.0] * len(asked)


@pytest.mark.slow
def test_a_second_call_after_one_that_worked_is_wrong() -> None:
    asked = {name: scene for name, scene in ASKED.items() if scene.failure is None}
    scripts = {name: [scene.answer(False), scene.answer(False), "Done."] for name, scene in asked.items()}
    assert {end.score.value for end in played(scripts, asked, AGENT)} == {0.0}


def test_half_of_the_failures_are_new_and_the_others_are_known() -> None:
    taught = {(scene.tools, form(scene)) for scene in failing(TAUGHT).values()}
    reasons = {reason for _, reason in taught}
    tools = {(scene.failure.name if scene.failure else "", scene.tools) for scene in TAUGHT.values()}
    asked = failing(ASKED)
    assert len(asked) >= 40
    new = [name for name in asked if f"-{NEW}-" in name]
    assert len(new) == len(asked) / 2
    for name, scene in asked.items():
        assert scene.failure is not None
        is_new = form(scene) not in reasons or (scene.failure.name, scene.tools) not in tools
        assert is_new == (f"-{NEW}-" in name), name
        assert is_new != (f"-{KNOWN}-" in name), name


def test_cases_and_examples_have_no_name_and_no_wording_in_common() -> None:
    slots = ("path", "path2", "symbol", "symbol2", "new", "text", "pattern", "statement")
    words = [
        {word.lower() for scene in drawn.values() for slot in slots for word in re.findall(WORD, scene.values[slot])}
        for drawn in (TAUGHT, ASKED)
    ]
    assert words[0] & words[1] <= {"py", "tests", "test", "import"}
    assert not {asked(scene) for scene in TAUGHT.values()} & {asked(scene) for scene in ASKED.values()}


def asked(scene: Scene) -> str:
    values = sorted((value for value in scene.values.values() if value in scene.question), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, values)), "_", scene.question)


@pytest.mark.slow
def test_examples_show_the_failing_call_without_training_it() -> None:
    few = scenes("examples", 1, 2, "0")
    for scene, row in zip(few.values(), examples(few, AGENT), strict=True):
        answers = [message for message in row["messages"] if message["role"] == "assistant"]
        weights = [message.get("weight", 1) for message in answers]
        assert weights == ([0, 1, 1] if scene.failure else [1, 1])
        assert [message["content"] for message in answers] == scene.script
        assert row["category"] == (RECOVER if scene.failure else WORKS)
        if scene.failure:
            assert row["messages"][3] == {"role": "tool", "content": f"Error: line 1: RuntimeError: {scene.reason}"}


def test_another_seed_draws_other_names_and_the_same_seed_the_same() -> None:
    assert scenes("examples", 2, 2, "0") == scenes("examples", 2, 2, "0")
    first, second = (cases(scenes("examples", 2, 2, key), AGENT) for key in "01")
    assert [row["prompt"] for row in first] != [row["prompt"] for row in second]


@pytest.mark.slow
def test_the_project_passes_its_checks(tmp_path: Path) -> None:
    project = tmp_path / "seed-0"
    make_project(project, 0, 2)
    shutil.rmtree(project / "models" / "phase33b")
    FakeEngine.create(project / "models" / "phase33b", [])
    with open_session(project, FakeEngine(), Silent(), "test") as session:
        prepared = prepare(session, project / "phases" / "recover.toml")
        categories = [case.category for case in session.suite.cases]
    assert not [finding for finding in prepared.report.findings if finding.severity == "error"]
    assert categories.count(RECOVER) == 6 * len(FAILURES)
    assert set(prepared.spec.gate.categories) == set(categories)


def test_the_table_has_failures_apart_that_training_knows() -> None:
    def outcome(after: float) -> dict[str, object]:
        ids = {"git-01": "git", "moved-known-01": RECOVER, "moved-new-02": RECOVER}
        before = [{"case_id": name, "category": category, "value": 0.5} for name, category in ids.items()]
        changed = [score | {"value": after} if score["case_id"] == "moved-new-02" else score for score in before]
        return {"promoted": after == 1.0, "attempts": [{"before": {"scores": before}, "after": {"scores": changed}}]}

    lines = table([outcome(1.0), outcome(0.0)], [0, 7]).splitlines()
    assert lines == [
        "| category | cases | before | seed 0 | seed 7 |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| git | 1 | 50.0 | 50.0 | 50.0 |",
        "| recover | 2 | 50.0 | 75.0 | 25.0 |",
        "| recover, known | 1 | 50.0 | 50.0 | 50.0 |",
        "| recover, new | 1 | 50.0 | 100.0 | 0.0 |",
        "| promoted | | | yes | no |",
    ]
    assert json.dumps(outcome(1.0))
