from __future__ import annotations

from typing import Any

from topcoat.spec.suite import Case
from topcoat.store.records import AnswerFault, Score
from topcoat.suites.answer_faults import answer_faults


def case(id: str, max_tokens: int) -> Case:
    expect = {"exact": "yes"}
    return Case.model_validate(
        {"id": id, "category": "c", "prompt": id, "scorer": "exact", "expect": expect, "max_tokens": max_tokens}
    )


def score(id: str, value: float, **more: Any) -> Score:
    return Score(case_id=id, category="c", value=value, reason="", scorer="exact", **more)


def test_faults_are_counted_with_the_limit_of_the_cut_answers_that_failed() -> None:
    cases = [case("a", 10), case("b", 20), case("c", 99), case("d", 30)]
    scores = [
        score("a", 0.0, cut=True, unread="the answer ends inside a tool call"),
        score("b", 0.5, cut=True),
        score("c", 1.0, cut=True),
        score("d", 0.0, unknown=["wipe"], empty=True),
    ]
    assert answer_faults(scores, cases) == [
        AnswerFault(kind="cut", cases=["a", "b", "c"], failed=2, max_tokens=20),
        AnswerFault(kind="unread", cases=["a"], failed=1),
        AnswerFault(kind="unknown tool", cases=["d"], failed=1),
        AnswerFault(kind="empty", cases=["d"], failed=1),
    ]
    assert answer_faults([score("a", 1.0)], cases) == []
