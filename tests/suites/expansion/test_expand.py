"""The laws of expansion: enough cases, known names in none, and nothing changes but what was asked to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import CATALOG, call, clean_examples, dialogue, located
from topcoat.errors import InvalidInput
from topcoat.examples.checks.overlap import check_suite
from topcoat.spec.agent import Agent
from topcoat.spec.case_template import CaseTemplates, load_templates
from topcoat.spec.example import LocatedExample
from topcoat.spec.suite import Case, Suite
from topcoat.suites.expansion.expand import Expansion, expand
from topcoat.suites.expansion.held_out import KnownTexts

HEAD = """
[names]
word = ["abacus", "sundial", "zephyr", "gazebo", "walrus", "papaya", "igloo", "yogurt", "quokka", "banjo"]
file = ["{word}.md", "{folder}/{word}_{word2}.py"]
[choices]
folder = ["src", "lib"]
"""
READ = ("read", "files", "Open {file}, I want to see it.", '{ tool = "read_file", args = { path = "{file}" } }')
SHOW = ("show", "files", "What on earth is in {file}?", '{ tool = "read_file" }')
FIND = ("find", "search", "Look for {word} below {folder}", '{ tool = "find", args = { pattern = "{word}" } }')
EMPTY = Suite(Path("suite.jsonl"), ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


def written(folder: Path, *rows: tuple[str, str, str, str], head: str = HEAD) -> CaseTemplates:
    text = "".join(
        f'[[template]]\nname = "{name}"\ncategory = "{category}"\n'
        f'prompt = "{prompt}"\nexpect = {{ calls = [{calls}] }}\n'
        for name, category, prompt, calls in rows
    )
    (folder / "t.toml").write_text(head + text)
    return load_templates(folder / "t.toml", Agent(CATALOG))


def made(
    templates: CaseTemplates,
    count: int,
    seed: int = 0,
    examples: Sequence[LocatedExample] = (),
    suite: Suite = EMPTY,
) -> Expansion:
    return expand(templates, count, seed, examples=examples, suite=suite, agent=Agent(CATALOG))


def of(category: str, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.category == category]


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 5))
def test_more_cases_begin_with_the_same_ones(folder: Path, one: int, other: int, seed: int) -> None:
    templates = written(folder, READ, SHOW, FIND)
    few, many = (made(templates, count, seed).cases for count in sorted((one, other)))
    for category in ("files", "search"):
        assert of(category, many)[: len(of(category, few))] == of(category, few)
        assert len(of(category, many)) == max(one, other)
    assert len({case.id for case in many}) == len({case.text for case in many}) == len(many)
    assert {case.family for case in of("search", many)} == {"find"}


@given(st.permutations([READ, SHOW, FIND]), st.integers(0, 3))
def test_a_template_makes_the_same_cases_whatever_stands_beside_it(
    folder: Path, rows: list[tuple[str, str, str, str]], seed: int
) -> None:
    together = made(written(folder, *rows), 4, seed).cases
    for row in rows:
        alone = made(written(folder, row), 4, seed).cases
        own = [case for case in together if case.family == row[0]]
        assert list(alone[: len(own)]) == own


@given(st.sets(st.sampled_from(["abacus", "sundial", "zephyr", "gazebo", "walrus"])), st.integers(0, 3))
def test_no_name_is_known(folder: Path, known: set[str], seed: int) -> None:
    taken = "src/igloo_quokka.py"
    examples = [located(dialogue(f"Here we talk of {word} only", taken), 1) for word in sorted(known)]
    found = made(written(folder, READ, FIND), 5, seed, examples, Suite(Path("s"), ()))
    texts = KnownTexts([*known, *([taken] if known else [])])
    for case in found.cases:
        (arguments,) = [call.args for call in case.expect.calls]
        assert not any(texts.has(str(value)) for value in arguments.values())
        assert str(next(iter(arguments.values()))) in case.text
    assert set(found.trained_names.get("word", [])) == known


def test_names_of_the_suites_cases_are_known_too(folder: Path) -> None:
    asked = Case.model_validate(
        {
            "id": "a",
            "category": "files",
            "prompt": "Papaya?",
            "expect": {"calls": [{"tool": "define", "args": {"name": "banjo"}}]},
        }
    )
    found = made(written(folder, FIND), 8, suite=Suite(Path("s"), (asked,)))
    assert not {"papaya", "banjo"} & {str(case.expect.calls[0].args["pattern"]) for case in found.cases}
    with pytest.raises(InvalidInput):
        made(written(folder, FIND), 9, suite=Suite(Path("s"), (asked,)))


def test_the_words_of_the_format_are_no_known_names(folder: Path) -> None:
    asked = Case.model_validate({"id": "a", "category": "c", "prompt": "?", "expect": {"calls": [{"tool": "define"}]}})
    head = HEAD.replace("word = [", 'word = ["given", "json", ', 1)
    found = made(written(folder, FIND, head=head), 10, suite=Suite(Path("s"), (asked,)))
    assert {"given", "json"} <= {str(case.expect.calls[0].args["pattern"]) for case in found.cases}


def test_the_check_finds_nothing_in_what_was_made(folder: Path) -> None:
    examples = clean_examples(300)
    cases = made(written(folder, READ, SHOW, FIND), 8, 1, examples).cases
    assert check_suite(examples, Suite(Path("s"), cases), Agent(CATALOG)) == []


def test_a_wording_that_is_trained_on_is_left_out_and_another_template_fills_in(folder: Path) -> None:
    trained = located(dialogue("Open other/file.py: I want to see it", "No."), 7)
    found = made(written(folder, READ, SHOW), 4, examples=[trained])
    assert {case.family for case in found.cases} == {"show"}
    assert {(left.template, left.code, left.where) for left in found.left_out} == {
        ("read", "eval-near", "data.jsonl:7")
    }


def test_single_cases_that_are_near_are_left_out(folder: Path) -> None:
    head = HEAD.replace('"src", "lib"', '"lib", "the old harbor"')
    row = ("find", "search", "Look for {word} in {folder}", FIND[3])
    trained = [located(dialogue("look for it in the old harbor", "No."), 3)]
    found = made(written(folder, row, head=head), 4, examples=trained)
    assert found.left_out
    assert all(left.prompt.endswith("in the old harbor") and left.code == "eval-near" for left in found.left_out)
    assert all(case.text.endswith("in lib") for case in found.cases)


def test_an_answer_that_is_trained_on_is_left_out(folder: Path) -> None:
    row = ("find", "search", "Who knows of {word}?", '{ tool = "define", args = { name = "FlywheelTurbine" } }')
    answer = located(dialogue("What holds the wheels?", call('print(define("FlywheelTurbine"))')), 5)
    with pytest.raises(InvalidInput) as caught:
        made(written(folder, row), 1, examples=[answer])
    (mistake,) = caught.value.mistakes
    assert '"find" makes 0 cases' in mistake.message
    assert "{word} ran out, 10 of them in cases that were left out: eval-answer" in mistake.message


def test_what_the_suite_asks_is_not_asked_again(folder: Path) -> None:
    row = ("status", "files", "what is uncommitted", '{ tool = "read_file" }')
    asked = Case.model_validate(
        {"id": "a", "category": "files", "prompt": "What is uncommitted?", "expect": {"calls": [{"tool": "define"}]}}
    )
    found = made(written(folder, row, SHOW), 2, suite=Suite(Path("s.jsonl"), (asked,), (4,)))
    assert [(left.template, left.code, left.where) for left in found.left_out] == [("status", "asked", "s.jsonl:4")]
    assert [case.family for case in found.cases] == ["show", "show"]


def test_too_few_names_are_named_with_what_to_do(folder: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(written(folder, FIND, SHOW), 11)
    (mistake,) = caught.value.mistakes
    assert mistake.where is not None
    assert mistake.where.line == 8
    assert mistake.message == ('"find" makes 10 cases and no more: the names of {word} ran out; "search" has 10 of 11')
    assert mistake.hint == 'more values, another template of "search", or --cases 10'
    assert len(made(written(folder, FIND, SHOW), 10).cases) == 20


def test_a_template_without_names_makes_each_combination_once(folder: Path) -> None:
    row = ("list", "files", "What lies in {folder}", '{ tool = "find", args = { path = "{folder}" } }')
    assert {case.text for case in made(written(folder, row), 2).cases} == {"What lies in src", "What lies in lib"}
    with pytest.raises(InvalidInput, match="1 mistake") as caught:
        made(written(folder, row), 3)
    assert "its choices are used up" in caught.value.mistakes[0].message


def test_other_seeds_make_other_cases(folder: Path) -> None:
    templates = written(folder, READ)
    assert made(templates, 8, 0).cases != made(templates, 8, 1).cases
