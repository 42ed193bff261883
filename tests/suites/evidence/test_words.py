from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.store.records import Evidence, GateCheck, GuardFinding
from topcoat.suites.evidence.compare import CategoryChange
from topcoat.suites.evidence.words import apart, category_row, guard_row, interval_words, kept_reason, percent, points

CHANGE = CategoryChange(
    category="git",
    n=27,
    before=0.5,
    after=0.84,
    delta=0.34,
    better=9,
    worse=0,
    before_interval=(0.31, 0.69),
    after_interval=(0.66, 0.93),
    evidence=Evidence(
        category="git",
        pairs=36,
        families=20,
        changed=9,
        p=0.004,
        adjusted_p=0.02,
        level=0.01,
        call="confirmed better",
        detectable_drop=0.384,
    ),
)

FINDING = GuardFinding(
    category="git",
    cases=300,
    families=1,
    looks=2,
    planned=3,
    before=0.9,
    after=0.92,
    fall=-0.02,
    over_families=None,
    over_cases=(-0.045, 0.005),
    margin=0.025,
    alpha=0.05,
    decision="kept",
    within=0.05,
    basis="cases",
)


def test_scores_are_percentages_and_changes_are_points() -> None:
    assert (percent(0.84), percent(1.0), percent(None)) == ("84.0%", "100.0%", "–")
    assert (points(0.042), points(-0.5), points(0.0004), points(None)) == ("+4.2", "-50.0", "0", "–")
    assert (interval_words((0.581, 0.807)), interval_words(None)) == ("58–81%", "–")


@given(st.floats(0, 1), st.floats(0, 1))
def test_scores_that_differ_are_shown_apart(one: float, other: float) -> None:
    first, second = apart(one, other)
    assert (first == second) == (f"{100 * one:.7f}" == f"{100 * other:.7f}")
    assert float(first.rstrip("%")) == pytest.approx(100 * one, abs=0.05 + 1e-9)


def test_a_category_has_its_figures_evidence_and_conditions() -> None:
    check = GateCheck(category="git", kind="target", required=0.8, before=0.5, after=0.84, n=27, passed=True, reason="")
    other = check.model_copy(update={"category": "lsp"})
    row = category_row(CHANGE, [other, check, check.model_copy(update={"kind": "no_regression", "passed": False})])
    assert (row.n, row.before, row.after, row.change) == ("27", "50.0%", "84.0%", "+34.0")
    assert (row.before_interval, row.after_interval) == ("31–69%", "66–93%")
    assert (row.evidence, row.weight) == ("confirmed better", "p 0.004, Holm 0.02, 36 cases")
    assert row.shows == "falls ≥ 38"
    assert row.gate == ((True, "≥ 80.0%"), (False, "no fall"))


@pytest.mark.parametrize(
    ("required", "decision", "said"),
    [(0.5, "", "no fall"), (0.46, "", "fall ≤ 4.0"), (0.46, "kept", "no fall (guard)")],
)
def test_a_tolerated_fall_is_not_called_none(required: float, decision: str, said: str) -> None:
    check = GateCheck.model_validate(
        {"category": "git", "kind": "no_regression", "required": required, "before": 0.5, "after": 0.47, "n": 27,
         "passed": True, "reason": "", "decision": decision}
    )  # fmt: skip
    assert category_row(CHANGE, [check]).gate == ((True, said),)


def test_a_category_without_evidence_has_none() -> None:
    row = category_row(CHANGE.model_copy(update={"evidence": None, "before": None, "delta": None}))
    assert (row.before, row.change, row.evidence, row.weight, row.shows, row.gate) == ("–", "–", "–", "", "–", ())


def test_guard_cases_show_a_change_with_bounds_of_its_own_sign() -> None:
    row = guard_row(FINDING)
    assert (row.cases, row.before, row.after, row.change) == ("300 of 1 family", "90.0%", "92.0%", "+2.0")
    assert (row.bounds, row.decision) == ("-0.5 to +4.5", "kept within 5")
    assert kept_reason(FINDING) == (
        "git 90.0% -> 92.0% on 300 guard cases: kept, a fall of 5 points is excluded, one of 2.5 isn't (over 1 family)"
    )


def test_a_target_and_a_fall_are_decided_side_by_side() -> None:
    update = {"target": 0.8, "target_decision": "reached", "decision": "fell", "families": 14}
    assert guard_row(FINDING.model_copy(update=update)).decision == "80.0% reached, fell by more than 2.5"
    assert guard_row(FINDING.model_copy(update={"decision": "undecided"})).decision == "undecided"
