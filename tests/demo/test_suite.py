"""The suite measures what was not trained on, with enough cases to see a difference."""

import json
import random
import tomllib
from collections import Counter
from itertools import islice
from typing import Any

from tools.demo_model.curriculum import thin
from tools.demo_model.language.words import SUITE, TRAINING
from tools.demo_model.tools import CATEGORIES, TOOLS
from topcoat.demo import TEMPLATE

SUITE_FILE = "suites/routing.jsonl"


def test_every_category_has_enough_cases(files: Any) -> None:
    counts = Counter(case["category"] for case in files.rows(SUITE_FILE) if not case.get("reserve"))
    assert set(counts) == set(CATEGORIES)
    assert min(counts.values()) >= 25


def test_every_category_has_a_reserve_of_several_families(files: Any) -> None:
    reserve = [case for case in files.rows(SUITE_FILE) if case.get("reserve")]
    assert set(Counter(case["category"] for case in reserve).values()) == {9}
    families = Counter(category for category, _ in {(case["category"], case["family"]) for case in reserve})
    assert min(families.values()) >= 5


def test_headline_cases_are_spread(files: Any) -> None:
    headline = Counter(case["category"] for case in files.rows(SUITE_FILE) if case.get("headline"))
    assert sum(headline.values()) == 27
    assert set(headline) == set(CATEGORIES)


def test_ids_and_prompts_are_unique(files: Any) -> None:
    cases = files.rows(SUITE_FILE)
    assert len({case["id"] for case in cases}) == len(cases)
    assert len({case["prompt"] for case in cases}) == len(cases)


def test_expected_tools_are_of_the_category(files: Any, catalog: Any) -> None:
    for case in files.rows(SUITE_FILE):
        calls = case["expect"]["calls"]
        assert all(call["tool"] in catalog.functions for call in calls)
        assert all(earlier < index for index, call in enumerate(calls) for earlier in call.get("uses", ()))
        assert case["scorer"] == "run"
        if case["category"] == "multi_tool":
            assert all(call["uses"] for call in calls[1:])
        else:
            assert TOOLS[calls[0]["tool"]].category == case["category"]


def test_every_name_in_a_prompt_is_an_argument_that_is_checked(files: Any) -> None:
    for case in files.rows(SUITE_FILE):
        given = json.dumps(case["expect"], ensure_ascii=False)
        for name in files.names(case["prompt"]):
            path, _, place = name.strip('`".').partition(":")
            assert path in given, case["id"]
            assert all(number in given for number in place.split(":")), case["id"]


def test_every_case_has_a_family_and_every_tool_several(files: Any) -> None:
    families: dict[str, set[str]] = {}
    for case in files.rows(SUITE_FILE):
        asked = "-".join(call["tool"] for call in case["expect"]["calls"])
        families.setdefault(asked, set()).add(case["family"])
    unseen_chains = {
        "workspace_symbols-ruff_check",
        "cst_find_pattern-typecheck",
        "goto_definition-read_file-ruff_check",
    }
    assert [asked for asked, own in families.items() if len(own) < 2 and asked not in unseen_chains] == []


def test_no_wording_is_in_the_data(files: Any) -> None:
    trained = {files.wording(prompt) for name in files.data for prompt in files.prompts(name)}
    assert not trained & {files.wording(case["prompt"]) for case in files.rows(SUITE_FILE)}


def test_no_wording_is_in_the_bases_training(files: Any) -> None:
    dialogues = islice(thin(random.Random(0), share=0.2, phrasings=3), 5_000)
    trained = {files.wording(dialogue["messages"][1]["content"]) for dialogue in dialogues}
    assert not trained & {files.wording(case["prompt"]) for case in files.rows(SUITE_FILE)}


def test_no_name_is_in_the_data(files: Any) -> None:
    trained = set().union(*(files.names(prompt) for name in files.data for prompt in files.prompts(name)))
    asked = set().union(*(files.names(case["prompt"]) for case in files.rows(SUITE_FILE)))
    assert len(asked) > 150
    assert not trained & asked


def test_word_pools_are_disjoint() -> None:
    trained = {*TRAINING.nouns, *TRAINING.verbs, *TRAINING.adjectives, *TRAINING.others}
    assert not trained & {*SUITE.nouns, *SUITE.verbs, *SUITE.adjectives}


def test_the_names_of_the_reserve_are_words_that_nothing_else_has() -> None:
    lists = tomllib.loads((TEMPLATE / "suites/templates.toml").read_text(encoding="utf-8"))["names"]
    words = {word for name in ("noun", "verb", "adjective") for word in lists[name]}
    assert len(words) > 120
    for pool in (TRAINING, SUITE):
        assert not words & {*pool.nouns, *pool.verbs, *pool.adjectives, *pool.folders, *pool.others}
    assert [noun.capitalize() for noun in lists["noun"]] == lists["Noun"]
