from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from tests.support.recorder import Recorder
from topcoat.engine.protocol import Verified
from topcoat.guard.pool import Cannot, GuardCase, GuardPool
from topcoat.phases.judging.deciding import GuardResult, Pair, decide
from topcoat.spec.phase import GateSpec, GuardSpec
from topcoat.spec.suite import Case
from topcoat.store.records import Completion

GATE = GateSpec(no_regression=["git"], evidence="tested")
Outcome = Callable[[int], Pair]


def pool(count: int, *names: str) -> GuardPool:
    """`count` cases of each category, in ten families."""

    def maker(category: str, family: int) -> Callable[[str], Iterator[GuardCase]]:
        def made(seed: str) -> Iterator[GuardCase]:
            for number in range(family, count, 10):
                keys = {"id": f"{category} {number}", "category": category, "family": f"{category} {family}"}
                asked = {"prompt": f"{category} question {number} {seed}", "expect": {"regex": "x"}, "scorer": "regex"}
                yield GuardCase(Case.model_validate(keys | asked), "origin", "renamed")

        return made

    strands = {name: {"kind": {str(f): [maker(name, f)] for f in range(10)}} for name in names or ("git",)}
    return GuardPool(strands, (), (), [Cannot("git-01", "git", "renamed", "it has no names")])


def decided(
    made: GuardPool, outcome: Outcome, gate: GateSpec = GATE, guard: GuardSpec | None = None
) -> tuple[GuardResult, list[int]]:
    asked: list[int] = []

    def answers(cases: Sequence[Case]) -> Mapping[str, Pair]:
        asked.append(len(cases))
        return {case.id: outcome(int(case.id.split()[-1])) for case in cases}

    return decide(made, gate, guard or GuardSpec(cases=150, most=600), "seed", answers, Recorder()), asked


def same(number: int) -> Pair:
    return Pair(1.0, 1.0)


def lost(number: int) -> Pair:
    return Pair(1.0, float(number % 3 > 0))


def two_of_fifty_each_way(number: int) -> Pair:
    return {7: Pair(1.0, 0.0), 18: Pair(1.0, 0.0), 29: Pair(0.0, 1.0), 30: Pair(0.0, 1.0)}.get(number % 50, same(0))


def test_a_category_in_which_nothing_changed_is_kept_at_the_first_look() -> None:
    result, asked = decided(pool(1000), same)
    (found,) = result.findings
    assert (found.decision, found.cases, found.looks, found.fall) == ("kept", 150, 1, 0.0)
    assert asked == [150]


def test_a_third_lost_is_a_fall_at_the_first_look() -> None:
    result, asked = decided(pool(1000), lost)
    (found,) = result.findings
    assert (found.decision, found.before) == ("fell", 1.0)
    assert found.fall == pytest.approx(1 / 3)
    assert asked == [150]


def test_more_cases_are_drawn_as_long_as_a_category_is_undecided() -> None:
    result, asked = decided(pool(1000), two_of_fifty_each_way)
    (found,) = result.findings
    assert (found.decision, found.fall) == ("kept", 0.0)
    assert asked[:2] == [150, 150]
    assert found.cases == sum(asked)
    assert found.looks == len(asked) > 1


def test_only_undecided_categories_are_asked_more() -> None:
    gate = GateSpec(no_regression=["git", "lsp"], evidence="tested")
    made = pool(1000, "git", "lsp")
    asked: list[set[str]] = []

    def answers(cases: Sequence[Case]) -> Mapping[str, Pair]:
        asked.append({case.category for case in cases})
        numbers = {case.id: int(case.id.split()[-1]) for case in cases}
        return {name: two_of_fifty_each_way(n) if "git" in name else same(n) for name, n in numbers.items()}

    decide(made, gate, GuardSpec(cases=150, most=600), "seed", answers, Recorder())
    assert asked[0] == {"git", "lsp"}
    assert asked[1:] == [{"git"}] * (len(asked) - 1) != []


def test_a_pool_that_runs_out_ends_the_looks() -> None:
    result, asked = decided(pool(200), two_of_fifty_each_way)
    (found,) = result.findings
    assert (found.cases, found.looks, asked) == (200, 2, [150, 50])


def test_too_few_cases_decide_nothing_and_are_not_asked() -> None:
    result, asked = decided(pool(30), same)
    assert (result.findings, asked) == ([], [])
    assert result.without == {"git": "30 guard cases can be made, 43 are needed: it has no names"}


def test_a_target_is_tested_on_the_same_cases() -> None:
    gate = GateSpec(target={"git": 0.8}, evidence="tested")
    result, _ = decided(pool(1000), lambda number: Pair(0.0, float(number % 10 > 0)), gate)
    (found,) = result.findings
    assert (found.target, found.target_decision, found.before) == (0.8, "reached", 0.0)
    result, _ = decided(pool(1000), lambda number: Pair(0.0, float(number % 2)), gate)
    (found,) = result.findings
    assert found.target_decision == "missed"
    assert found.after_bounds is not None
    assert 0.0 <= found.after_bounds[0] < found.after < found.after_bounds[1] <= 1.0


def test_the_drift_from_the_base_is_its_mean() -> None:
    answer = Completion(text="x", tokens=1, finish="stop")

    def drifted(number: int) -> Pair:
        return Pair(1.0, 1.0, Verified(answer, None, -3.0 - number % 2, -1.0, (0.25, 0.5)))

    result, _ = decided(pool(1000), drifted)
    assert result.findings[0].log_probability == pytest.approx(-2.5)
    assert result.findings[0].kl == pytest.approx(0.375)
    assert decided(pool(1000), same)[0].findings[0].kl is None


def test_without_cases_nothing_is_drawn() -> None:
    assert decided(pool(1000), same, guard=GuardSpec(cases=0))[0] == GuardResult([], {})
