"""A model's own wordings count if the names stay and its answers keep their scores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from tests.support.guarded import CODE, CODE_CASES, pool_of
from tests.support.rewriter import ANSWER, Rewriter, for_me
from topcoat.guard.makers import GuardCase
from topcoat.guard.rewriting import rewritten
from topcoat.progress import Silent


def _cases(count: int = 12) -> list[GuardCase]:
    rows = tuple(row for row in CODE_CASES if row["id"] in ("read", "tool"))
    drawn = pool_of(rows, CODE).draw("work", "a")
    return list(islice((one for one in drawn if one.way == "renamed"), count))


def test_a_wording_is_a_case_of_its_own_family() -> None:
    cases = _cases()
    made = rewritten(cases, Rewriter(for_me), CODE, Silent())
    assert [one.case.prompt for one in made.cases] == [
        f"For me: {(one.case.prompt or '').rstrip('.')}" for one in cases
    ]
    assert [one.case.expect for one in made.cases] == [one.case.expect for one in cases]
    assert {one.case.family for one in made.cases} == {"read~model", "tool~model"}
    assert len({one.case.id for one in (*made.cases, *cases)}) == 2 * len(cases)
    assert made.left_out == {}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (lambda text: None, "gives no wording"),
        (lambda text: text.upper(), "changes a name"),
        (lambda text: text.lower().rstrip("."), "repeats the request"),
        (lambda text: f"Sure!\n{text}", "more than a wording"),
    ],
    ids=["no-answer", "other-names", "repeated", "more"],
)
def test_a_model_that_rewrites_nothing_is_not_asked_on(words: Callable[[str], str | None], reason: str) -> None:
    model = Rewriter(words)
    made = rewritten(_cases(), model, CODE, Silent())
    assert (made.cases, model.rewrote) == ((), 8)
    tried, rest = made.left_out.items()
    assert reason in tried[0]
    assert (tried[1], rest[1]) == (8, 4)


def test_a_wording_that_is_answered_otherwise_is_left_out() -> None:
    """The model reads a file whatever is asked, but not after "For me"."""
    model = Rewriter(for_me, lambda asked: "No." if asked.startswith("For me") else ANSWER)
    made = rewritten(_cases(), model, CODE, Silent())
    by_tool = [one for one in _cases() if one.case.scorer == "tiered"]
    assert {one.origin for one in made.cases} == {"read"}  # wrong before and after
    assert made.left_out == {"the model's answer to the new wording has another score": len(by_tool)}
