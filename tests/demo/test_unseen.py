"""The unseen cases are unseen: their words, names and wordings are in no file of the demo and in no training."""

import random
from itertools import islice

import pytest

from benchmarks.unseen.cases import cases, new_wordings, written_wordings
from benchmarks.unseen.words import words_seen
from tools.demo_model.curriculum import thin
from tools.demo_model.language.phrasings import slots
from tools.demo_model.language.wording import wording
from tools.demo_model.suite import wordings_by_tools
from tools.demo_model.tools import CATEGORIES, TOOLS
from topcoat.demo import TEMPLATE
from topcoat.errors import Where
from topcoat.spec.agent import Agent
from topcoat.spec.suite import case_mistakes
from topcoat.spec.tools.loading import load_catalog

SETS = {"new names": wordings_by_tools(), "new wordings": new_wordings()}


def test_no_word_is_in_the_suite_or_the_training() -> None:
    assert words_seen() == set()


@pytest.mark.parametrize("name", SETS)
def test_every_category_has_as_many_cases_as_asked_for(name: str) -> None:
    made = cases(SETS[name], 40, seed=1)
    assert [case.category for case in made] == [category for category in CATEGORIES for _ in range(40)]
    assert len({case.prompt for case in made}) == len(made)
    agent = Agent(load_catalog(TEMPLATE / "tools.pyi"))
    assert [case.id for case in made if case_mistakes(case, Where(TEMPLATE), agent)] == []


def test_another_seed_draws_other_names() -> None:
    one, other = ({case.prompt for case in cases(SETS["new names"], 20, seed=seed)} for seed in (1, 2))
    assert len(one & other) < 20


def test_new_wordings_name_what_their_tool_needs() -> None:
    for tools, wordings in written_wordings().items():
        first = TOOLS[tools[0]]
        needed = set(slots(first.arguments)) - {"count"}
        for text in wordings:
            assert needed <= set(slots(text)), (tools, text)


def test_wordings_that_the_training_has_are_left_out() -> None:
    left = SETS["new wordings"]
    trained = {
        wording(one["messages"][1]["content"]) for one in islice(thin(random.Random(0), share=0.2, phrasings=3), 2_000)
    }
    assert [text for own in left.values() for text in own if wording(text) in trained] == []
    assert sum(map(len, left.values())) > 0.9 * sum(map(len, written_wordings().values()))
    assert min(map(len, left.values())) >= 2
