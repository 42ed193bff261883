from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from topcoat.store.records import GuardFinding
from topcoat.suites.evidence.bounds import change_bounds
from topcoat.suites.evidence.looks import Look, plan_looks
from topcoat.suites.evidence.noninferiority import (
    FallTest,
    can_be_kept,
    fewest_cases,
    is_open,
    judge_category,
    judge_fall,
    judge_target,
)
from topcoat.suites.evidence.statistics import Array, Pairs

MARGIN = 0.03
ONCE = plan_looks(300, 300, 0.05)[0]
EARLY = plan_looks(150, 600, 0.05)[0]


def pairs_of(lost: int, gained: int, kept: int, *, families: int = 0) -> Pairs:
    """Cases that were lost, gained and kept, in families that take turns, or each its own."""
    before = np.array([1.0] * lost + [0.0] * gained + [1.0] * kept)
    after = np.array([0.0] * lost + [1.0] * gained + [1.0] * kept)
    return Pairs(before, after, [f"f{i % families if families else i}" for i in range(len(before))])


def test_a_coat_that_changes_nothing_is_kept_at_the_first_look() -> None:
    found = judge_fall(pairs_of(0, 0, 150, families=6), MARGIN, EARLY, last=False)
    assert (found.decision, found.within, found.basis) == ("kept", MARGIN, "families")
    assert (found.n, found.families, found.before, found.after, found.fall) == (150, 6, 1.0, 1.0, 0.0)
    assert found.over_families == found.over_cases


def test_what_fell_everywhere_is_refused_at_the_first_look() -> None:
    found = judge_fall(pairs_of(30, 0, 120, families=6), MARGIN, EARLY, last=False)
    assert (found.decision, found.within) == ("fell", None)
    assert found.fall == pytest.approx(0.2)
    assert MARGIN < found.over_families[0] < 0.2 < found.over_families[1]


def test_too_few_cases_decide_nothing_and_another_look_is_taken() -> None:
    found = judge_fall(pairs_of(2, 2, 146, families=6), MARGIN, EARLY, last=False)
    assert (found.decision, found.within) == ("undecided", None)


def test_gains_count_against_losses() -> None:
    assert judge_fall(pairs_of(9, 9, 582), MARGIN, ONCE, last=True).fall == 0.0
    assert judge_fall(pairs_of(9, 9, 582), MARGIN, ONCE, last=True).decision == "kept"
    assert judge_fall(pairs_of(9, 0, 291), MARGIN, ONCE, last=True).fall == pytest.approx(0.03)


def test_at_the_end_twice_the_margin_must_be_excluded() -> None:
    pairs = pairs_of(8, 3, 289)
    assert change_bounds(8, 3, 300, 0.05)[1] == pytest.approx(0.038, abs=2e-3)
    assert judge_fall(pairs, MARGIN, ONCE, last=False).decision == "undecided"
    found = judge_fall(pairs, MARGIN, ONCE, last=True)
    assert (found.decision, found.within, found.basis) == ("kept", 2 * MARGIN, "cases")
    noisy = judge_fall(pairs_of(40, 35, 225), MARGIN, ONCE, last=True)
    assert noisy.over_cases[1] > 2 * MARGIN
    assert (noisy.decision, noisy.within) == ("undecided", None)


def test_a_mean_fall_above_the_margin_is_never_kept() -> None:
    """Of 6,000 cases, 3.3% fell: twice the margin is excluded, and the fall isn't shown to be above the margin."""
    after = np.repeat([0.0, 1.0], [198, 5802])
    found = judge_fall(Pairs(np.ones(6000), after, [str(i) for i in range(6000)]), MARGIN, ONCE, last=True)
    assert found.over_cases[0] < MARGIN < found.fall < found.over_cases[1] < 2 * MARGIN
    assert found.decision == "undecided"


def test_a_fall_in_one_family_is_not_passed() -> None:
    """One of 14 families lost everything. Families like it may be rare, so only the last look, over cases, decides."""
    names = [f"f{i % 14}" for i in range(602)]
    after = np.array([0.0 if name == "f0" else 1.0 for name in names])
    pairs = Pairs(np.ones(602), after, names)
    assert judge_fall(pairs, MARGIN, ONCE, last=False).decision == "undecided"
    found = judge_fall(pairs, MARGIN, ONCE, last=True)
    assert (found.decision, found.within, found.basis) == ("fell", None, "cases")


def test_one_family_is_decided_over_its_cases_alone() -> None:
    pairs = Pairs(np.ones(300), np.ones(300), ["only"] * 300)
    assert judge_fall(pairs, MARGIN, ONCE, last=False).decision == "undecided"
    found = judge_fall(pairs, MARGIN, ONCE, last=True)
    assert (found.decision, found.within, found.basis) == ("kept", MARGIN, "cases")
    assert found.over_families == (-math.inf, math.inf)


def test_the_last_look_may_spend_the_rest() -> None:
    looks = plan_looks(150, 600, 0.05)
    early = judge_fall(pairs_of(1, 1, 148), MARGIN, looks[0], last=False)
    ended = judge_fall(pairs_of(1, 1, 148), MARGIN, looks[0], last=True)
    assert ended.over_cases[1] < early.over_cases[1]


def test_the_fewest_cases_are_those_of_which_none_changed() -> None:
    needed = fewest_cases(MARGIN, 0.05)
    look = plan_looks(needed, needed, 0.05)[0]
    assert judge_fall(pairs_of(0, 0, needed), MARGIN, look, last=True).decision == "kept"
    assert judge_fall(pairs_of(0, 0, needed - 1), MARGIN, look, last=True).decision == "undecided"
    assert can_be_kept([look], MARGIN)
    assert not can_be_kept(plan_looks(needed - 1, needed - 1, 0.05), MARGIN)
    assert not can_be_kept(plan_looks(10, needed, 0.05), MARGIN)  # the first look spends a part of alpha
    assert can_be_kept(plan_looks(150, 600, 0.05), MARGIN)
    assert fewest_cases(0.5, 0.05) == 1
    with pytest.raises(ValueError, match="nothing fell"):
        fewest_cases(0.0, 0.05)


def test_a_target_is_reached_by_the_lower_bound() -> None:
    def target(solved: int, *, last: bool = False) -> str:
        after = np.repeat([1.0, 0.0], [solved, 300 - solved])
        return judge_target(Pairs(np.zeros(300), after, [str(i) for i in range(300)]), 0.6, ONCE, last=last).decision

    assert [target(n) for n in (220, 185, 150)] == ["reached", "undecided", "missed"]
    assert target(185, last=True) == "undecided"


def test_a_target_in_few_families_is_reached_over_cases_at_the_end() -> None:
    names = [f"f{i % 4}" for i in range(400)]
    after = np.array([0.0 if name == "f0" else 1.0 for name in names])
    pairs = Pairs(np.zeros(400), after, names)
    assert judge_target(pairs, 0.6, ONCE, last=False).decision == "undecided"
    found = judge_target(pairs, 0.6, ONCE, last=True)
    assert (found.decision, found.basis, found.mean) == ("reached", "cases", 0.75)


def test_the_record_of_a_category_has_both_tests() -> None:
    looks = plan_looks(150, 600, 0.05)
    pairs = pairs_of(4, 60, 236, families=14)
    found = judge_category("git", pairs, looks[1], margin=MARGIN, alpha=0.05, last=False, target=0.9)
    fall, target = judge_fall(pairs, MARGIN, looks[1], last=False), judge_target(pairs, 0.9, looks[1], last=False)
    assert (found.category, found.cases, found.families, found.looks, found.planned) == ("git", 300, 14, 2, 3)
    assert (found.decision, found.fall, found.over_families) == (fall.decision, fall.fall, fall.over_families)
    assert (found.target, found.target_decision) == (0.9, target.decision) == (0.9, "reached")
    assert found.after_bounds is not None
    assert 0.9 <= found.after_bounds[0] <= found.after <= found.after_bounds[1] <= 1.0
    assert GuardFinding.model_validate_json(found.model_dump_json()) == found


def test_a_record_of_one_family_has_no_bounds_over_families() -> None:
    pairs = Pairs(np.ones(300), np.ones(300), ["only"] * 300)
    found = judge_category("git", pairs, ONCE, margin=MARGIN, alpha=0.05, last=True, target=0.5)
    assert (found.over_families, found.basis, found.target_decision) == (None, "cases", "reached")
    assert GuardFinding.model_validate_json(found.model_dump_json()) == found


def test_more_cases_are_drawn_only_for_what_the_gate_asks() -> None:
    found = judge_category("git", pairs_of(2, 2, 146), EARLY, margin=MARGIN, alpha=0.05, last=False)
    assert found.decision == "undecided"
    assert is_open(found, may_fall=False)
    assert not is_open(found, may_fall=True)
    aimed = found.model_copy(update={"target": 0.5, "target_decision": "undecided"})
    assert is_open(aimed, may_fall=True)


# Errors, by simulation


@dataclass(frozen=True)
class Coat:
    """The chances of each family's cases to be lost and gained, of shape (families,)."""

    lost: Array
    gained: Array


def decide(coat: Coat, generator: np.random.Generator, looks: list[Look]) -> FallTest:
    """The decision on cases that are drawn from the coat's families in turn until there is one."""
    families = np.arange(looks[-1].cases) % len(coat.lost)
    luck = generator.random(len(families))
    lost = luck < coat.lost[families]
    gained = ~lost & (luck < (coat.lost + coat.gained)[families])
    before, after = (~gained).astype(np.float64), (~lost).astype(np.float64)
    names = [f"f{family}" for family in families]
    for look in looks:
        n = look.cases
        found = judge_fall(Pairs(before[:n], after[:n], names[:n]), MARGIN, look, last=look.planned_last)
        if found.decision != "undecided":
            break
    return found


def shares(coats: list[Coat]) -> dict[str, float]:
    generator = np.random.default_rng(len(coats[0].lost))
    looks = plan_looks(150, 600, 0.05)
    found = [decide(coat, generator, looks).decision for coat in coats]
    return {decision: found.count(decision) / len(found) for decision in ("kept", "fell", "undecided")}


def even(lost: float, gained: float, families: int) -> Coat:
    return Coat(np.full(families, lost), np.full(families, gained))


@pytest.mark.parametrize("families", [6, 14, 40])
@pytest.mark.parametrize("changed", [0.0, 0.02, 0.05])
def test_a_harmless_coat_is_kept(families: int, changed: float) -> None:
    found = shares([even(changed / 2, changed / 2, families)] * 150)
    assert found["fell"] <= 0.02
    assert found["kept"] >= 0.95


@pytest.mark.parametrize("families", [6, 14, 40])
@pytest.mark.parametrize("gained", [0.0, 0.01, 0.05])
def test_a_fall_of_twice_the_margin_is_not_kept(families: int, gained: float) -> None:
    assert shares([even(0.06 + gained, gained, families)] * 150)["kept"] <= 0.05


@pytest.mark.parametrize("families", [6, 14, 40])
def test_both_errors_hold_where_families_differ(families: int) -> None:
    """The families' chances differ by much, and their mean is the coat's fall: 0, or twice the margin."""
    generator = np.random.default_rng(families)
    harmless, harmful = [], []
    for _ in range(150):
        gained = generator.beta(0.2, 7.8, families)  # a mean of 0.025, mostly near 0
        harmless.append(Coat(generator.permutation(gained), gained))
        extra = generator.beta(0.5, 3.0, families)
        harmful.append(Coat(np.clip(extra * 0.06 / extra.mean(), 0, 1), np.zeros(families)))
    found = shares(harmless)
    assert found["fell"] <= 0.03
    assert found["kept"] >= 0.90
    assert shares(harmful)["kept"] <= 0.05
