"""Five phases in a row (benchmarks/five_phases): its cases and examples, its phases, its figures."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.five_phases import parts
from benchmarks.five_phases.__main__ import KEPT, report, run, suite_means
from benchmarks.five_phases.figures import Step, backward_transfer, kept
from benchmarks.five_phases.language import KINDS, NO_TOOL, THREE, Part, cases, requests
from benchmarks.five_phases.project import (
    EXAMPLES,
    PART_CASES,
    SERIES,
    STRONG,
    Aim,
    make_project,
    taught,
    unseen_suites,
)
from tools.demo_model.dialogues import answer
from tools.demo_model.language.names import Names
from tools.demo_model.language.phrasings import slots
from tools.demo_model.language.wording import wording
from tools.demo_model.language.words import SUITE
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.phases.preparation import prepare
from topcoat.progress import Silent, Sink
from topcoat.project.session import open_session
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case, Suite, load_suite
from topcoat.spec.tools.loading import load_catalog
from topcoat.store.records import Completion
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import Question, Reply

PARTS: tuple[Part, ...] = ("train", "suite", "unseen")


KINDS_ROW = SERIES["kinds"]


def made_for(series: str, folder: Path) -> Path:
    project = folder / series
    make_project(project, series, 0)
    shutil.rmtree(project / "models" / "phase33b")
    FakeEngine.create(project / "models" / "phase33b", [])
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_for("kinds", tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_for("parts", tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="module")
def unseen(project: Path) -> dict[str, Suite]:
    return unseen_suites(project, "kinds", 40)


def asked_by(project: Path) -> tuple[Case, ...]:
    return load_suite(project / "suites" / "routing.jsonl", agent_of(project)).cases


def agent_of(project: Path) -> Agent:
    return Agent(load_catalog(project / "tools.pyi"), "You are an agent.", "code")


@pytest.mark.slow
@pytest.mark.parametrize("series", ["kinds", "parts"])
def test_every_phase_passes_its_checks_and_guards_what_is_known(series: str, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue("project" if series == "kinds" else "divided")
    row = SERIES[series]
    with open_session(project, FakeEngine(), Silent(), "test") as session:
        for aim in row:
            prepared = prepare(session, project / "phases" / f"{aim.name}.toml")
            assert not prepared.report.errors
            assert prepared.report.budget.examples == EXAMPLES
            earlier = [other.category for other in row[: row.index(aim)]]
            assert prepared.spec.gate.no_regression == [*STRONG, *earlier]
            assert [*prepared.spec.gate.target] == [aim.category]
            assert prepared.spec.gate.tolerance <= 0.04


def wordings_taught(row: Sequence[Aim]) -> set[str]:
    rows = [example for aim in row for example in taught(aim.category, 400, random.Random(1))]
    return {wording(example["messages"][1]["content"]) for example in rows}


@pytest.mark.slow
def test_no_case_has_a_wording_of_an_example(project: Path, unseen: dict[str, Suite]) -> None:
    trained = wordings_taught(KINDS_ROW)
    suite = asked_by(project)
    asked = {wording(str(case.prompt)) for case in (*suite, *unseen["new wordings"].cases)}
    assert not asked & trained


@pytest.mark.slow
def test_new_wordings_stand_in_no_file_and_new_names_in_none_of_the_kinds(
    project: Path, unseen: dict[str, Suite]
) -> None:
    written = "".join(file.read_text(encoding="utf-8") for file in project.glob("[ds]*/*.jsonl"))
    known = {wording(str(case.prompt)) for case in asked_by(project) if case.category in KINDS}
    for name, asked in unseen.items():
        own = [case for case in asked.cases if case.category in KINDS]
        assert len(own) == 40 * len(KINDS)
        named = [case for case in own if case.category != NO_TOOL]
        assert not [case.id for case in named if str(case.prompt) in written]
        assert (wording(str(own[0].prompt)) in known) == (name == "new names")
    assert not {wording(str(case.prompt)) for case in unseen["new wordings"].cases if case.category in KINDS} & known


@pytest.mark.slow
def test_the_parts_divide_what_the_embedded_suite_asks_of_validators_and_chains(divided: Path) -> None:
    asked = asked_by(divided)
    counts = Counter(case.category for case in asked if not case.reserve)
    assert {part: counts[part] for part in parts.PARTS} == dict.fromkeys(parts.PARTS, PART_CASES)
    assert not {"domain", "multi_tool"} & counts.keys()
    whole = load_suite(TEMPLATE / "suites" / "routing.jsonl", agent_of(divided)).cases
    families = {case.family for case in whole if case.category in parts.WHOLE and not case.reserve}
    assert {case.family for case in asked if case.category in parts.PARTS} == families
    assert not {wording(str(case.prompt)) for case in asked} & wordings_taught(SERIES["parts"])


@pytest.mark.slow
def test_unseen_cases_of_the_parts_stand_in_no_file(divided: Path) -> None:
    written = "".join(file.read_text(encoding="utf-8") for file in divided.glob("[ds]*/*.jsonl"))
    for asked in unseen_suites(divided, "parts", 20).values():
        counts = Counter(case.category for case in asked.cases)
        assert {part: counts[part] for part in parts.PARTS} == dict.fromkeys(parts.PARTS, 20)
        assert len({case.id for case in asked.cases}) == len(asked.cases)
        assert not [case.id for case in asked.cases if case.category in parts.PARTS and str(case.prompt) in written]


class Scripted:
    """Gives each case its text."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        return [Completion(text=self._texts[question.id], tokens=1, finish="stop") for question in questions]


def scored(agent: Agent, kind: str, part: Part, change: Callable[[list[str]], list[str]]) -> list[float]:
    """The scores of every request's case, after `change` of the right answers."""
    asked = requests(kind, part, random.Random(0))
    made = [Case.model_validate(row) for row in cases(asked, len(asked), Names(SUITE, random.Random(0)))]
    names = Names(SUITE, random.Random(0))  # the same names again
    answers = [request.answer({slot: names.draw(slot) for slot in slots(request.wording)}) for request in asked]
    source = Scripted(dict(zip((case.id for case in made), change(answers), strict=True)))
    found = evaluate(source, Suite(Path("suite.jsonl"), tuple(made)), agent, Silent(), "scripted")
    return [score.value for score in found.scores]


def as_they_are(answers: list[str]) -> list[str]:
    return answers


def of_the_next(answers: list[str]) -> list[str]:
    return [*answers[1:], answers[0]]


def without_the_result(answers: list[str]) -> list[str]:
    return [re.sub(r"\(result\.[^,)]*", '("a.py"', text) for text in answers]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["suite", "unseen"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_right_answers_are_right_and_those_to_others_are_wrong(project: Path, kind: str, part: Part) -> None:
    right = scored(agent_of(project), kind, part, as_they_are)
    assert right == [1.0] * len(right)
    others = scored(agent_of(project), kind, part, of_the_next)
    assert others == [1.0 if kind == NO_TOOL else 0.0] * len(others)


@pytest.mark.slow
def test_a_chain_that_does_not_use_the_first_result_is_wrong(project: Path) -> None:
    scores = scored(agent_of(project), THREE, "suite", without_the_result)
    assert scores == [0.0] * len(scores)


@pytest.mark.slow
def test_a_call_is_wrong_where_no_tool_fits_and_abstaining_where_one_does(project: Path) -> None:
    agent = agent_of(project)
    rows = {
        kind: cases(requests(kind, "suite", random.Random(0)), 1, Names(SUITE, random.Random(0)))[0] for kind in KINDS
    }
    made = [Case.model_validate(row) for row in rows.values()]
    call = answer('print(read_file("a.py"))')
    texts = {case.id: call if case.category == NO_TOOL else "None of my tools can do that." for case in made}
    found = evaluate(Scripted(texts), Suite(Path("suite.jsonl"), tuple(made)), agent, Silent(), "scripted")
    assert [score.value for score in found.scores] == [0.0, 0.0, 0.0]


def test_chains_have_three_calls_and_many_combinations() -> None:
    for part in PARTS:
        tools = {request.tools for request in requests(THREE, part, random.Random(0))}
        assert {len(set(one)) for one in tools} == {3}
        assert len(tools) >= 20


def test_a_seed_decides_the_data() -> None:
    for aim in (*KINDS_ROW, *SERIES["parts"]):
        one, again, other = (taught(aim.category, 20, random.Random(key)) for key in ("0", "0", "1"))
        assert one == again
        assert one != other


def step(category: str, promoted: bool) -> Step:
    return Step(category, category, promoted, category, [], 1.0)


def test_backward_transfer_is_the_mean_change_of_what_earlier_phases_taught() -> None:
    rows = [
        {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.9},
        {"a": 0.6, "b": 0.2, "c": 0.3, "d": 0.8},
        {"a": 0.5, "b": 0.7, "c": 0.2, "d": 0.8},
        {"a": 0.4, "b": 0.8, "c": 0.9, "d": 0.7},
    ]
    steps = [step("a", True), step("b", True), step("c", True)]
    # (R[3][a] - R[1][a] + R[3][b] - R[2][b]) / 2 = (-20 + 10) / 2
    assert backward_transfer(rows, steps) == pytest.approx(-5.0)
    # The second phase taught nothing: only a counts.
    assert backward_transfer(rows, [steps[0], step("b", False), steps[2]]) == pytest.approx(-20.0)
    assert backward_transfer(rows, [step("a", False), step("b", False), steps[2]]) is None
    assert kept(rows, steps) == pytest.approx(-20.0)


def result(means: dict[str, float]) -> dict[str, object]:
    return {"categories": [{"category": category, "mean": mean} for category, mean in means.items()]}


def test_a_discarded_phase_leaves_production_where_it_was() -> None:
    before, lost, gained = (
        result({"a": one, "b": other, "c": 0.9}) for one, other in ((0.1, 0.2), (0.0, 0.9), (0.7, 0.2))
    )
    steps = [
        Step("one", "b", False, "base", [{"before": before, "after": lost, "learning_rate": 3e-4}], 2.0),
        Step("two", "a", True, "two-1", [{"before": before, "after": gained, "learning_rate": 1.5e-4}], 3.4),
    ]
    rows = suite_means(steps)
    assert rows == [{"a": first, "b": 0.2, "c": 0.9} for first in (0.1, 0.1, 0.7)]
    assert report(steps, {"suite": rows}).split("\n\n") == [
        "| phase | for | verdict | attempts | rates | minutes |\n"
        "| --- | --- | --- | ---: | --- | ---: |\n"
        "| 1 | b | discarded | 1 | 0.0003 | 2 |\n"
        "| 2 | a | promoted | 1 | 0.00015 | 3 |",
        "| suite | a | b | c | mean |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| base | 10.0 | 20.0 | 90.0 | 40.0 |\n"
        "| 1. b | 10.0 | 20.0 | 90.0 | 40.0 |\n"
        "| 2. a | **70.0** | 20.0 | 90.0 | 60.0 |",
        "backward transfer: none: fewer than two phases were promoted; other categories: +0.0",
    ]


def test_a_phase_that_has_ended_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"promoted": True, "production": "coat1-domain-2", "attempts": [{"learning_rate": 3e-4}]}
    calls = []

    def fake(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps(said))

    monkeypatch.setattr(subprocess, "run", fake)
    first = run(tmp_path, KINDS_ROW[0])
    assert (tmp_path / KEPT / "coat1-domain.json").is_file()
    assert run(tmp_path, KINDS_ROW[0]) == first
    assert len(calls) == 1
    assert dataclasses.asdict(first) | {"minutes": 0.0} == {
        "name": "coat1-domain",
        "category": "domain",
        "promoted": True,
        "model": "coat1-domain-2",
        "attempts": [{"learning_rate": 3e-4}],
        "minutes": 0.0,
    }


def test_a_run_without_a_verdict_ends_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="")

    monkeypatch.setattr(subprocess, "run", fake)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, KINDS_ROW[0])
    assert ended.value.code == 1
    assert not (tmp_path / KEPT).exists()
