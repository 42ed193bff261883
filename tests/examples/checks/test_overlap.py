from __future__ import annotations

from tests.support.examples import CATALOG, SUITE, call, clean_examples, dialogue, located
from topcoat.examples.checks.overlap import case_twins, check_repeats, check_suite, check_validation
from topcoat.spec.example import LocatedExample

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
    findings = check_suite([asking("What holds the wheels?", 7, answer)], SUITE, CATALOG)
    assert [(f.code, f.where) for f in findings] == [("eval-answer", "data.jsonl:7")]
    other = call('print(read_file("FlywheelTurbine"))')
    assert check_suite([asking("What holds the wheels?", 7, other)], SUITE, CATALOG) == []


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
