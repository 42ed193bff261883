from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.examples import CATALOG, SUITE, call, clean_examples, dialogue, located
from topcoat.examples.checks.overlap import (
    case_twins,
    check_repeats,
    check_suite,
    check_validation,
    near_cases,
    shared_wordings,
)
from topcoat.spec.agent import Agent
from topcoat.spec.example import LocatedExample
from topcoat.spec.suite import Case, Suite

LONG = (
    "Explain how the engine of the old harbor crane turns the copper wheel when the river by the mill is low in summer"
)


def asking(user: str, line: int = 1, answer: str = "It is so.") -> LocatedExample:
    return located(dialogue(user, answer), line)


def test_a_run_of_one_template_is_reported_once_with_what_the_set_is_worth() -> None:
    run = [asking(f"Find the definition of name_{i} in lib/a{i}.py for the person at desk {i}", i) for i in range(1, 6)]
    (finding,) = check_repeats(run)
    assert (finding.code, finding.where) == ("same-template", "data.jsonl:1")
    assert "5 of 5 differ only in names, as does data.jsonl:2" in finding.message
    assert "all 5 are worth 1.0" in finding.message
    assert check_repeats(run[:4]) == []


def test_a_near_duplicate_is_named_with_its_twin() -> None:
    findings = check_repeats([asking(LONG, 3), asking(f"{LONG} today", 8), asking("Something else entirely here", 9)])
    assert [(f.code, f.where) for f in findings] == [("near-duplicate", "data.jsonl:8")]
    assert "stands at data.jsonl:3" in findings[0].message


def test_cases_near_an_example() -> None:
    same_words = asking("Show me the README of the project", 4)
    other_names = asking("Where in tests/unit is lower_names defined?", 5)
    verbatim = asking("show me the readme of this  project", 6)
    near = case_twins([*clean_examples(50), same_words, other_names, verbatim], SUITE)
    assert [(t.case.id, t.nearest.where.line, t.template, t.count) for t in near] == [
        ("files-1", 4, False, 1),
        ("search-1", 5, True, 1),
    ]
    assert case_twins([], SUITE) == []


def test_an_answer_that_a_case_expects() -> None:
    answer = call('found = define(name="FlywheelTurbine")\nprint(found.text)')
    findings = check_suite([asking("What holds the wheels?", 7, answer)], SUITE, Agent(CATALOG))
    assert [(f.code, f.where) for f in findings] == [("eval-answer", "data.jsonl:7")]
    other = call('print(read_file("FlywheelTurbine"))')
    assert check_suite([asking("What holds the wheels?", 7, other)], SUITE, Agent(CATALOG)) == []


@pytest.mark.parametrize("as_text", [False, True])
def test_a_structured_call_that_a_case_expects(as_text: bool) -> None:
    arguments = {"name": "FlywheelTurbine"}
    function = {"name": "define", "arguments": json.dumps(arguments) if as_text else arguments}
    native = Agent(CATALOG, calls="native")
    for name, found in (("define", ["eval-answer"]), ("read_file", [])):
        data = dialogue("What holds the wheels?", "")
        data["messages"][2] = {"role": "assistant", "tool_calls": [{"function": {**function, "name": name}}]}
        assert [f.code for f in check_suite([located(data, 7)], SUITE, native)] == found


def test_an_answer_with_one_of_the_values_that_a_case_allows_is_reported_once() -> None:
    values = ["FlywheelTurbine", "FlywheelTurbineHousing"]
    row = {
        "id": "a",
        "category": "c",
        "prompt": "Where?",
        "expect": {"calls": [{"tool": "define", "args": {"name": {"any_of": values}}}]},
    }
    suite = Suite(Path("s.jsonl"), (Case.model_validate(row),))
    for value in values:
        trained = asking("What holds the wheels?", 7, call(f'print(define(name="{value}").text)'))
        assert [f.code for f in check_suite([trained], suite, Agent(CATALOG))] == ["eval-answer"]
    other = asking("What holds the wheels?", 7, call('print(define(name="FlywheelTurbineCover").text)'))
    assert check_suite([other], suite, Agent(CATALOG)) == []


def test_validation_is_compared_with_training_only() -> None:
    train = [asking("Q one?", 4), asking(LONG, 5)]
    valid = [asking("q  ONE", 8), asking(f"{LONG} today", 9), asking(f"{LONG} now", 10), asking("Another thing", 11)]
    findings = check_validation(train, valid)
    assert [(f.code, f.where) for f in findings] == [
        ("valid-overlap", "data.jsonl:8"),
        ("valid-near", "data.jsonl:9"),
        ("valid-near", "data.jsonl:10"),
    ]
    assert check_validation(train, []) == []


def wordings(prompts: dict[str, str], *asked: LocatedExample) -> list[tuple[str, str]]:
    cases = tuple(
        Case.model_validate({"id": f"{name}-{n}", "category": name, "prompt": p, "expect": {"calls": []}})
        for name, p in prompts.items()
        for n in range(5)
    )
    return [(f.where, f.message) for f in shared_wordings(asked, Suite(Path("s"), cases))]


def test_a_category_in_the_wording_of_examples_is_reported_once_with_the_nearest_pair() -> None:
    trained = [
        asking("Rename old_name to new_name in lib/a.py and then show me the diff", 3),
        asking("Rename one_thing to other_thing in lib/b.py, then show the diff", 4),
        asking("What is the weather like?", 5),
    ]
    cases = [
        {"id": "multi-1", "prompt": "Rename spam_egg to egg_spam in src/c.py and then show me all of the diff"},
        {"id": "multi-2", "prompt": "Rename a_b to b_a in src/d.py and then show me the diff"},
        {"id": "multi-3", "prompt": "Draw a horse with long legs"},
        *({"id": f"multi-{n}", "prompt": f"Rename a_b to b_a in src/{n}.py and show me the diff"} for n in (4, 5, 6)),
    ]
    suite = Suite(
        Path("s"),
        tuple(Case.model_validate({**case, "category": "multi", "expect": {"calls": []}}) for case in cases),
    )
    (found,) = shared_wordings(trained, suite)
    assert (found.code, found.severity, found.where) == ("eval-wording", "warning", "data.jsonl:3")
    assert "5 of 6 prompts of category multi share 60%" in found.message
    assert "case multi-2 with 100%" in found.message
    assert found in check_suite(trained, suite, Agent(CATALOG))
    assert shared_wordings([], suite) == []
    few = Suite(Path("s"), suite.cases[:-1])
    assert shared_wordings(trained, few) == []


def test_few_cases_of_a_large_category_are_not_reported() -> None:
    alike = [f"red blue green {number}" for number in range(5)]
    others = ["".join(chr(97 + (number * 7 + i) % 26) for i in range(6)) for number in range(16)]
    trained = asking("red blue green 77", 3)

    def reported(prompts: list[str]) -> bool:
        cases = [{"id": f"c-{n}", "category": "c", "prompt": p, "expect": {"calls": []}} for n, p in enumerate(prompts)]
        return bool(shared_wordings([trained], Suite(Path("s"), tuple(map(Case.model_validate, cases)))))

    assert reported(alike + others[:15])
    assert not reported(alike + others)


@pytest.mark.parametrize(("shared", "reported"), [(5, False), (6, True), (10, True)])
def test_the_share_of_words_decides_and_names_do_not_count(shared: int, reported: bool) -> None:
    common = ["red", "blue", "green", "small", "large", "round", "flat", "warm", "cold", "dry"]
    prompt = " ".join(common[:shared]) + " in some/path_1.py"
    example = asking(" ".join(common) + " in other/path_2.py", 7)
    # `in` is shared too: (shared + 1) of 11 words
    assert bool(wordings({"colours": prompt}, example)) is reported


@pytest.mark.parametrize(("prompt", "near"), [("red blue green", True), ("red blue", False)])
def test_exactly_three_quarters_of_the_words_are_near(prompt: str, near: bool) -> None:
    case = Case.model_validate({"id": "c-1", "category": "c", "prompt": prompt, "expect": {"calls": []}})
    suite = Suite(Path("s"), (case,))
    trained = [asking("Green, small, blue, red!", 2)]
    assert [twin.similarity for twin in case_twins(trained, suite)] == ([0.75] if near else [])
    assert near_cases(trained, suite) == ({0} if near else set())
