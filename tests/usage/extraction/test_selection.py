from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import agent_of
from tests.support.examples import SUITE
from tests.support.usage.conversation import Conversation
from topcoat.spec.suite import Case, Suite
from topcoat.usage.extraction.rules import extract
from topcoat.usage.extraction.selection import captured_case, category_of, choose, is_held_out

CHAIN_CASE = Case.model_validate(
    {
        "id": "chains-1",
        "category": "chains",
        "prompt": "Find Apple and read it.",
        "expect": {"calls": [{"tool": "define"}, {"tool": "read_file", "uses": [0]}]},
    }
)
CASES = Suite(SUITE.path, (*SUITE.cases, CHAIN_CASE))


@pytest.mark.parametrize(
    ("tools", "category"),
    [
        (["read_file"], "files"),
        (["define"], "search"),
        (["define", "read_file"], "chains"),
        (["find", "read_file"], "chains"),
        (["find"], None),
    ],
)
def test_the_category_is_that_of_the_cases_with_these_tools(tools: list[str], category: str | None) -> None:
    assert category_of(tools, CASES) == category


@given(st.lists(st.text(min_size=1), unique=True), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_sessions_and_more(names: list[str], one: float, other: float) -> None:
    less, more = sorted([one, other])
    assert {n for n in names if is_held_out(n, less)} <= {n for n in names if is_held_out(n, more)}


def test_about_the_share_is_held_out() -> None:
    assert sum(is_held_out(f"session {i}", 0.2) for i in range(1000)) == pytest.approx(200, abs=40)


def test_a_candidate_is_a_question_with_the_calls_that_answer_it() -> None:
    code = 'result = define("Apple")\nprint(read_file(result.path))'
    [found] = extract(
        Conversation().user("Where is Apple?").runs(code).events, agent_of(["define", "read_file"])
    ).candidates
    case = captured_case(found, "chains", agent_of(["define", "read_file"]))
    assert (case.prompt, case.scorer) == ("Where is Apple?", "calls")
    assert [(call.tool, call.uses) for call in case.expect.calls] == [("define", []), ("read_file", [0])]


def test_every_template_comes_once_before_any_comes_twice() -> None:
    items = ["a1", "a2", "a3", "b1", "c1"]
    labels = [("x", name[0]) for name in items]
    assert choose(items, labels, [0.9, 0.8, 0.7, 0.5, 0.6], {"x": 4}) == ["a1", "c1", "b1", "a2"]


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3), st.floats(0, 1))),
    st.dictionaries(st.sampled_from("xyw"), st.integers(1, 5)),
)
def test_a_quota_is_filled_and_never_exceeded(items: list[tuple[str, int, float]], quota: dict[str, int]) -> None:
    chosen = choose(items, [(i[0], i[1]) for i in items], [i[2] for i in items], quota)
    have, took = Counter(i[0] for i in items), Counter(i[0] for i in chosen)
    assert took == Counter({c: min(have[c], n) for c, n in quota.items() if have[c]})
