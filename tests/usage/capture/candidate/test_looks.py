from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from topcoat.spec.canonical import canonical_json
from topcoat.usage.capture.candidate.looks import carried, read_looks, verdict_of
from topcoat.usage.capture.candidate.records import CanaryGroup, CanaryLook

Decision = Literal["goes on", "worse", "better", "undecided", "ended"]


def look(
    decision: Decision,
    *,
    sessions: int = 10,
    number: int = 0,
    phase: str = "p",
    model: str = "m",
    production: str = "o",
) -> CanaryLook:
    return CanaryLook(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        candidate=CanaryGroup(model=model, sessions=sessions, wrong=1, kinds={"cut answer": 1}),
        production=CanaryGroup(model="o", sessions=2 * sessions, wrong=2, kinds={}),
        share=0.1,
        look=number,
        looks=5,
        p_worse=None,
        p_better=None,
        level=None,
        decision=decision,
        reason="1 of 10",
        phase=phase,
    )


def test_only_the_looks_at_this_phase_s_candidate_are_read(tmp_path: Path) -> None:
    path = tmp_path / "canary.jsonl"
    assert read_looks(path, "p", "m") == []
    mine = [look("goes on", number=1), look("ended")]
    others = [look("worse", phase=""), look("worse", model="n"), look("worse", phase="q")]
    lines = [canonical_json(one.model_dump(mode="json")) for one in [others[0], mine[0], *others[1:], mine[1]]]
    path.write_text("\n".join([*lines, "{half a li"]))
    assert read_looks(path, "p", "m") == mine


def test_a_trial_goes_on_with_what_was_counted_beside_the_same_model() -> None:
    looks = [look("goes on", sessions=10, number=1), look("goes on", sessions=20, number=2), look("ended", sessions=26)]
    found = carried(looks, "o", 5)
    assert found is not None
    assert (found.candidate.sessions, found.production.sessions, found.looks) == (26, 52, 2)
    assert carried(looks, "another", 5) is None
    assert carried(looks, "o", 3) is None, "another number of looks is another trial"
    assert carried([], "o", 5) is None


@pytest.mark.parametrize(
    ("decision", "undecided", "verdict"),
    [
        ("better", "discard", "promote"),
        ("worse", "promote", "discard"),
        ("undecided", "promote", "promote"),
        ("undecided", "discard", "discard"),
        ("goes on", "promote", None),
        ("ended", "promote", None),
    ],
)
def test_a_trial_that_is_over_has_a_verdict(
    decision: Decision, undecided: Literal["promote", "discard"], verdict: str | None
) -> None:
    found = verdict_of([look("goes on"), look(decision)], undecided)
    assert (found.verdict if found else None) == verdict
    assert found is None or found.reason.endswith(": 1 of 10")
