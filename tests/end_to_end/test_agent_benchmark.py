"""The benchmark on a real agent's data: its cases and examples are right, unseen, and refuse wrong answers."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agent.cases import new_cases, taken
from benchmarks.agent.cases import requests as case_requests
from benchmarks.agent.data import FILES, data_folder, lines, new_questions, prompt_cases, trainable
from benchmarks.agent.examples import COUNTS, examples
from benchmarks.agent.examples import requests as example_requests
from benchmarks.agent.names import CASES
from benchmarks.agent.page import write_page
from benchmarks.agent.phases import CRITERION, PHASES, phase
from benchmarks.agent.project import MAKE, SUITE, TIERED, agent, project
from benchmarks.agent.requests import Request
from benchmarks.agent.scores import changes, scores_of
from benchmarks.agent.tools import CATEGORIES, NO_TOOL, TOOLS, catalog
from benchmarks.real.project import write_lines
from benchmarks.real.stages import Figures, Options, Stage, Work
from tests.support.real_data import DATA
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.errors import Where
from topcoat.examples.checks.check import check_examples
from topcoat.examples.checks.overlap import SHARED_WORDING
from topcoat.examples.checks.similarity import WordSets
from topcoat.examples.checks.templates import text_template
from topcoat.scoring.scorers import SCORERS
from topcoat.spec.agent import Agent
from topcoat.spec.example import load_examples
from topcoat.spec.phase import DataSpec, GateSpec, PhaseSpec
from topcoat.spec.suite import Case, case_mistakes, load_suite
from topcoat.store.files import write_text
from topcoat.store.records.evaluations import EvalResult
from topcoat.suites.evaluate import executed

AGENT = Agent(catalog(), system_prompt="Call tools from code.")
REQUESTS: list[Request] = [*(request for _, request in case_requests()), *example_requests()]
FREE = {"line", "column", "count", "pattern"}
"""Slots whose values aren't names."""

real_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not here: {DATA} (set TOPCOAT_REAL_DATA)")


def case_of(request: Request) -> Case:
    expect = {"calls": request.calls}
    return Case.model_validate(
        {"id": "a", "category": request.category, "prompt": request.words, "expect": expect, "scorer": "run"}
    )


def read(request: Request, program: str) -> tuple[float, str]:
    """The score of another program for the request, by reading it."""
    answer = parse(request.answer.replace(request.program, program), AGENT)
    return SCORERS["calls"](case_of(request).expect, answer, AGENT)


def test_there_are_as_many_cases_and_examples_as_said() -> None:
    rows = new_cases()
    counts = Counter(row["category"] for row in rows)
    assert list(counts) == list(CATEGORIES)
    assert min(counts.values()) >= 28
    assert sum(counts[category] for category in CATEGORIES if category != NO_TOOL) >= 200
    assert len({row["prompt"] for row in rows}) == len({row["id"] for row in rows}) == len(rows)
    assert [len({row["family"] for row in rows if row["category"] == c}) >= 15 for c in CATEGORIES] == [True] * 8
    assert Counter(request.category for request in example_requests()) == Counter(COUNTS)
    assert sum(COUNTS.values()) == 80
    assert len({request.words for request in example_requests()}) == 80
    asked = {name for row in rows for call in row["expect"]["calls"] for name in [call["tool"]]}
    assert asked == set(TOOLS) == set(catalog().tools)


def test_a_small_suite_takes_each_category_and_many_families() -> None:
    few = taken(new_cases(), 3)
    assert Counter(row["category"] for row in few) == dict.fromkeys(CATEGORIES, 3)
    assert len({row["family"] for row in few}) == len(few)


def test_no_case_expects_what_no_call_can_be() -> None:
    cases = [Case.model_validate(row) for row in new_cases()]
    assert [mistake for case in cases for mistake in case_mistakes(case, Where(Path("suite.jsonl")), AGENT)] == []


def test_every_program_makes_the_calls_that_are_expected() -> None:
    wrong = [(request.words, said) for request in REQUESTS if (said := read(request, request.program))[0] != 1.0]
    assert wrong == []


@pytest.mark.slow
def test_every_program_is_right_when_it_is_executed() -> None:
    wrong = []
    with Sandbox(AGENT.catalog) as sandbox:
        for request in REQUESTS:
            expect = case_of(request).expect
            answer = executed(parse(request.answer, AGENT), expect, AGENT, sandbox)
            value, reason = SCORERS["run"](expect, answer, AGENT)
            if value != 1.0:
                wrong.append((request.words, reason))
    assert wrong == []


class Changed(ast.NodeTransformer):
    """Another program: what `change` makes of each call of `tool`."""

    def __init__(self, tool: str, change: Callable[[ast.Call], ast.expr]) -> None:
        self.tool, self.change = tool, change

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return self.change(node) if isinstance(node.func, ast.Name) and node.func.id == self.tool else node

    def of(self, program: str) -> str:
        return ast.unparse(self.visit(ast.parse(program)))


def no_call(call: ast.Call) -> ast.expr:
    return ast.Constant(None)


def of_nothing_found(call: ast.Call) -> ast.expr:
    """The call with a path in place of every argument that isn't written down."""
    call.args = [one if isinstance(one, ast.Constant) else ast.Constant("src/x.py") for one in call.args]
    return call


def another(position: int) -> Callable[[ast.Call], ast.expr]:
    """The call with another value of the same type at this position."""

    def change(call: ast.Call) -> ast.expr:
        argument = [*call.args, *(word.value for word in call.keywords)][position]
        assert isinstance(argument, ast.Constant)
        value = argument.value
        argument.value = f"{value}x" if isinstance(value, str) else not value if value in (True, False) else 99
        return call

    return change


def variants(request: Request) -> Iterator[tuple[str, str]]:
    """Programs that are wrong in one thing, each with what it is."""
    for call in request.calls:
        tool = call["tool"]
        yield f"without {tool}", Changed(tool, no_call).of(request.program)
        for name in call.get("args", {}):
            position = list(TOOLS[tool].parameters).index(name)
            yield f"another {name} of {tool}", Changed(tool, another(position)).of(request.program)
        if "uses" in call:
            yield f"unfound for {tool}", Changed(tool, of_nothing_found).of(request.program)


def accepted(requests: Sequence[Request]) -> list[tuple[str, str]]:
    """The wrong programs that score, after a look at how many of each kind there are."""
    tried = [(request, what, program) for request in requests for what, program in variants(request)]
    kinds = Counter(what.split()[0] for _, what, _ in tried)
    assert kinds["without"] >= len(requests)
    assert kinds["another"] > len(requests) / 2
    assert kinds["unfound"] > len(requests) / 8
    return [(request.words, what) for request, what, program in tried if read(request, program)[0] == 1.0]


def test_a_program_that_is_wrong_in_one_thing_is_refused() -> None:
    assert accepted(REQUESTS[::9]) == []


@pytest.mark.slow
def test_every_program_that_is_wrong_in_one_thing_is_refused() -> None:
    assert accepted(REQUESTS) == []


def test_a_case_that_needs_no_tool_refuses_every_program() -> None:
    (row, *_) = [row for row in new_cases() if row["category"] == NO_TOOL]
    expect = Case.model_validate(row).expect
    assert SCORERS["run"](expect, parse("It releases them.", AGENT), AGENT)[0] == 1.0
    assert SCORERS["run"](expect, parse(REQUESTS[0].answer, AGENT), AGENT)[0] == 0.0


def targeted_texts() -> list[str]:
    return [turn["content"] for row in examples("") for turn in row["messages"]]


def own_texts() -> list[str]:
    return [turn["content"] for name in FILES[:2] for row in lines(DATA, name) for turn in row["messages"]]


def seen_names(texts: list[str]) -> list[str]:
    """The cases' names that stand in a text."""
    every = "\n".join(texts)
    return [name for slot, pool in CASES.items() if slot not in FREE for name in pool if name in every]


def seen_wordings(questions: list[str]) -> list[str]:
    """The cases that share three fifths of their words with a question, names blanked."""
    sets = WordSets([text_template(question).replace("_", " ") for question in questions])
    prompts = [row["prompt"] for row in new_cases()]
    return [p for p in prompts if sets.similarity(text_template(p).replace("_", " ")).max() >= SHARED_WORDING]


def test_no_name_and_no_wording_of_a_case_is_one_of_phase_34a() -> None:
    assert seen_names(targeted_texts()) == []
    assert seen_wordings([request.words for request in example_requests()]) == []
    assert seen_names(["Who calls track_parallax?"]) == ["track_parallax"]
    assert len(seen_wordings(["Call a_b c_d from now on in src/a.py"])) == 2


@real_data
def test_no_name_and_no_wording_of_a_case_is_one_of_the_agents_data() -> None:
    prompts = [row["prompt"] for row in lines(DATA, "prompts27.jsonl")]
    turns = [turn for name in FILES[:2] for row in lines(DATA, name) for turn in row["messages"]]
    assert seen_names([*own_texts(), *prompts]) == []
    assert seen_wordings([*prompts, *(turn["content"] for turn in turns if turn["role"] == "user")]) == []


@real_data
def test_the_27_prompts_expect_what_can_be_called_and_both_scorers_agree() -> None:
    executed_cases, tiered = prompt_cases(lines(DATA, "prompts27.jsonl"), list(catalog().tools))
    assert len(executed_cases) == len(tiered) == 27
    for row, loose in zip(executed_cases, tiered, strict=True):
        case, other = Case.model_validate(row), Case.model_validate(loose)
        assert case_mistakes(case, Where(Path("suite.jsonl")), AGENT) == []
        assert row["prompt"] == loose["prompt"]
        for argument in (value for call in row["expect"]["calls"] for value in call.get("args", {}).values()):
            shown = str(argument)
            assert shown in row["prompt"] or shown in ("ClassDef", "False")
        call = case.expect.calls[0]
        assert set(call.names) <= {name for one in other.expect.calls for name in one.names}


@pytest.mark.slow
@real_data
def test_the_project_is_made_of_the_data_without_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPCOAT_REAL_DATA", str(DATA))
    work = Work(tmp_path, Options(cases=2), MAKE)
    stages = {stage.name: stage for stage in MAKE}
    found = stages["data"].run(work)
    assert sum(found["train"].values()) == 1159
    assert (found["valid"], found["valid_left_out"], found["other_system_prompts"]) == (101, 22, 1282)
    assert found["targeted"] == dict(COUNTS)
    stages["suite"].run(work)
    asking = agent(project(work))
    suite = load_suite(project(work) / SUITE, asking)
    assert len(suite.cases) == 27 + 2 * len(CATEGORIES)
    assert len((project(work) / TIERED).read_text().splitlines()) == 27
    for name in ("phase33b", "phase33b-valid", "phase34a"):
        located = load_examples(project(work) / "data" / f"{name}.jsonl")
        assert [one for one in check_examples(located, suite, asking) if one.severity == "error"] == []


def row_of(question: str, *answers: str, system: str = "Old.") -> dict[str, Any]:
    turns = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"messages": [*turns, *({"role": "assistant", "content": answer} for answer in answers)]}


def answer_of(*calls: str) -> str:
    return (
        f"<tool_call><function=execute_code><parameter=code>\n{'; '.join(calls)}\n</parameter></function></tool_call>"
    )


def test_a_dialogue_gets_the_system_prompt_and_the_category_of_its_first_calls() -> None:
    given = [
        row_of("a", answer_of('hover("a", 1, 2, "b")')),
        row_of("b", answer_of('ruff_check("a")', 'typecheck("a")')),
        row_of("c", "Just words."),
        row_of("d", "Wait.", answer_of('git_log(".", 5)')),
    ]
    made = [trainable(row, "New.", AGENT) for row in given]
    assert [row["category"] for row in made] == ["lsp", "multi_tool", NO_TOOL, "git"]
    assert {row["messages"][0]["content"] for row in made} == {"New."}
    assert [row["messages"][1:] for row in made] == [row["messages"][1:] for row in given]


def test_a_question_that_is_trained_on_does_not_validate() -> None:
    kept = new_questions([row_of("Run the  tests."), row_of("Lint it.")], [row_of("run the tests")])
    assert [row["messages"][1]["content"] for row in kept] == ["Lint it."]


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPCOAT_REAL_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no such file: .*train.jsonl: set TOPCOAT_REAL_DATA"):
        lines(data_folder(), "train.jsonl")


def test_the_phases_ask_for_the_criterion() -> None:
    planned = PhaseSpec(data=DataSpec(train=["a"]), gate=GateSpec(target={"a": 1.0}))
    cases = dict.fromkeys(CATEGORIES, 30)
    first, second = (phase(name, planned, 12, cases) for name in ("phase33b", "phase34a"))
    assert (first.data.replay, second.data.replay) == (0.0, 0.5)
    assert first.train.updates == second.train.updates == 12
    assert (first.gate.target, second.gate.target) == ({}, dict(CRITERION))
    assert set(first.gate.no_regression) == set(CATEGORIES) - {NO_TOOL}
    assert set(second.gate.no_regression) == set(CATEGORIES) - set(CRITERION)
    assert 1 / 30 <= second.gate.tolerance < 2 / 30


def evaluation(model: str, right: int) -> dict[str, Any]:
    """Two cases of each category and a prompt of domain and multi_tool; the first `right` of all are right."""
    ids = [("p-domain", "domain", True), ("p-multi", "multi_tool", True)]
    ids += [(f"n-{category}-{number}", category, False) for number in (1, 2) for category in CATEGORIES]
    scores = [
        {"case_id": one, "category": category, "value": float(place < right), "reason": "", "scorer": "run"}
        | {"headline": headline, "family": one, "answer": "It is so."}
        for place, (one, category, headline) in enumerate(ids)
    ]
    categories = [{"category": c, "n": 2, "mean": 0.5, "solved": 1} for c in CATEGORIES]
    return EvalResult.model_validate(
        {"model": model, "suite_digest": "a", "categories": categories, "scores": scores, "seconds": 60}
        | {"generated_tokens": 9}
    ).model_dump(mode="json")


class Kept:
    """A stage that finds what is given."""

    def __init__(self, figures: Mapping[str, Figures], name: str) -> None:
        self.figures, self.name = figures, name

    def __call__(self, work: Work) -> Figures:
        return self.figures[self.name]


def test_the_page_says_what_is_reached_and_what_is_missed(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_text(folder / "prompts" / "system.md", "Call tools.\n")
    calls = {"calls": [{"tool": "hover"}]}
    asked = [("p-domain", "domain"), ("p-multi", "multi_tool")]
    rows = [{"id": one, "category": category, "prompt": "a", "expect": calls} for one, category in asked]
    write_lines(folder / TIERED, rows)
    answered = {"root": evaluation("root", 2), "phase33b": evaluation("b", 10), "phase34a": evaluation("c", 16)}
    figures: dict[str, Figures] = {}
    before = answered["root"]
    for name, found in answered.items():
        spent = {"learning_rate": 1e-4, "seconds": 60.0, "processor_seconds": 60.0, "peak": 10**9}
        scores = scores_of(folder, found)
        figures[name] = {"scores": scores, "promoted": True, "reasons": [], "changes": changes(before, found), **spent}
        plan = {"planned_layers": 8, "rank": 8, "budget": {"iterations": 4, "replayed": 2}, "weak": {}, "findings": {}}
        figures[f"plan-{name}"] = plan
        before = found
    assert {suite: len(one) for suite, one in figures["root"]["scores"].items()} == {
        "prompts27": 2,
        "new": 8,
        "tiered": 2,
    }
    assert figures["root"]["scores"]["tiered"]["domain"]["sum"] == 0.0
    assert figures["phase34a"]["changes"]["domain"] == {"evidence": "indistinguishable", "better": 1, "worse": 0}
    names = [stage.name for stage in (*MAKE, *PHASES)]
    work = Work(tmp_path, Options(), [Stage(name, Kept(figures, name)) for name in names])
    for name in set(names) & set(figures):
        work.reach(work.stage(name))
    text = write_page(work, names, tmp_path / "page.md")
    assert "- domain ≥ 80%: **reached** on the new cases, with 100% [" in text
    assert "- multi_tool ≥ 60%: **missed** on the new cases, with 50% [" in text
    assert "no category has fewer right answers in either suite" in text
    assert "**Not done yet**: fetch, model, data" in text
