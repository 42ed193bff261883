from __future__ import annotations

import functools
import operator
from typing import Literal

import pytest

from topcoat.phases.judging.gate import judge
from topcoat.spec.phase import GateSpec
from topcoat.store.records import (
    Call,
    CategoryScore,
    EvalResult,
    Evidence,
    FormatShare,
    GateCheck,
    GuardFinding,
    Verdict,
)


def result(digest: str = "s", /, **means: tuple[float, int]) -> EvalResult:
    categories = [CategoryScore(category=c, n=n, mean=mean, solved=0) for c, (mean, n) in means.items()]
    return EvalResult(model="m", suite_digest=digest, categories=categories, scores=[], seconds=0.0, generated_tokens=0)


def test_a_target_is_reached_or_not() -> None:
    spec = GateSpec(target={"domain": 0.8, "git": 0.5}, evidence="mean")
    verdict = judge(spec, result(domain=(0.5, 30), git=(1.0, 4)), result(domain=(22 / 30, 30), git=(0.5, 4)))
    assert not verdict.passed
    assert verdict.reasons == ["domain 73.3% < 80.0% (n=30)"]
    assert [check.reason for check in verdict.checks] == ["domain 73.3% < 80.0% (n=30)", "git 50.0% >= 50.0% (n=4)"]
    assert [(c.kind, c.required, c.before, c.after, c.n, c.passed) for c in verdict.checks] == [
        ("target", 0.8, 0.5, 22 / 30, 30, False),
        ("target", 0.5, 1.0, 0.5, 4, True),
    ]


def test_a_category_may_not_fall() -> None:
    spec = GateSpec(no_regression=["git", "lsp", "cst"], evidence="mean")
    before = result(git=(1.0, 28), lsp=(0.5, 4), cst=(0.2, 5))
    verdict = judge(spec, before, result(git=(26.12 / 28, 28), lsp=(0.5, 4), cst=(0.4, 5)))
    assert [check.passed for check in verdict.checks] == [False, True, True]
    assert [check.reason for check in verdict.checks] == [
        "git fell 100.0% -> 93.3% (n=28), tolerance 0.0%",
        "lsp kept 50.0% (n=4), tolerance 0.0%",
        "cst rose 20.0% -> 40.0% (n=5), tolerance 0.0%",
    ]


@pytest.mark.parametrize(("after", "passed"), [(0.9, True), (0.95, True), (0.89, False)])
def test_a_fall_within_the_tolerance_passes(after: float, passed: bool) -> None:
    verdict = judge(
        GateSpec(no_regression=["git"], tolerance=0.1, evidence="mean"), result(git=(1.0, 10)), result(git=(after, 10))
    )
    assert verdict.passed is passed
    assert verdict.checks[0].required == pytest.approx(0.9)


def test_rounding_of_means_is_no_regression() -> None:
    exact, summed = 0.1, functools.reduce(operator.add, [0.1] * 10) / 10  # `sum` is exact from Python 3.12 on
    assert summed < exact
    assert judge(
        GateSpec(no_regression=["git"], evidence="mean"), result(git=(exact, 10)), result(git=(summed, 10))
    ).passed
    assert judge(
        GateSpec(target={"git": exact}, evidence="mean"), result(git=(exact, 10)), result(git=(summed, 10))
    ).passed


def test_one_case_in_a_million_is_a_regression() -> None:
    spec = GateSpec(no_regression=["git"], evidence="mean")
    verdict = judge(spec, result(git=(1.0, 10**6)), result(git=(1 - 1e-7, 10**6)))
    assert verdict.reasons == ["git fell 100.0000000% -> 99.9999900% (n=1000000), tolerance 0.0%"]


def test_what_was_not_measured_has_not_passed() -> None:
    spec = GateSpec(target={"domain": 0.0}, no_regression=["git", "lsp", "cst"], evidence="mean")
    verdict = judge(spec, result(lsp=(1.0, 1)), result(cst=(1.0, 1)))
    assert not any(check.passed for check in verdict.checks)
    assert verdict.reasons == [
        "domain was not measured, target 0.0%",
        "git was not measured on either model",
        "lsp was not measured on the new model",
        "cst was not measured on the base",
    ]


def test_two_suites_are_not_compared() -> None:
    spec = GateSpec(target={"git": 1.0}, no_regression=["git"], evidence="mean")
    verdict = judge(spec, result("s", git=(1.0, 2)), result("t", git=(1.0, 2)))
    assert [check.passed for check in verdict.checks] == [True, False]
    assert "different suites" in verdict.reasons[0]


def shown(category: str, call: Call, drop: float | None = 0.4) -> Evidence:
    return Evidence(
        category=category,
        pairs=10,
        families=10,
        changed=3,
        p=0.25,
        adjusted_p=0.5,
        level=0.025,
        call=call,
        detectable_drop=drop,
    )


FELL = (result(git=(1.0, 10), lsp=(0.5, 10)), result(git=(0.7, 10), lsp=(0.9, 10)))


def test_the_evidence_stands_beside_each_check_and_decides_nothing() -> None:
    spec = GateSpec(target={"lsp": 0.8}, no_regression=["git", "lsp"], evidence="mean")
    evidence = [shown("git", "suspected"), shown("lsp", "confirmed better")]
    verdict = judge(spec, *FELL, evidence)
    assert [check.evidence for check in verdict.checks] == [evidence[1], evidence[0], evidence[1]]
    assert [check.passed for check in verdict.checks] == [check.passed for check in judge(spec, *FELL).checks]
    assert verdict.reasons == [
        "git fell 100.0% -> 70.0% (n=10), tolerance 0.0%: suspected, p 0.25, Holm 0.5; shows falls ≥ 40"
    ]
    assert verdict.falls == ["git"]


@pytest.mark.parametrize(
    ("call", "drop", "words"),
    [
        ("confirmed worse", 0.4, "confirmed worse, p 0.25, Holm 0.5"),
        ("suspected", 0.4, "suspected, p 0.25, Holm 0.5; shows falls ≥ 40"),
        ("indistinguishable", None, "indistinguishable, p 0.25, Holm 0.5; shows no fall"),
    ],
)
def test_a_fall_says_what_the_cases_show_of_it(call: Call, drop: float | None, words: str) -> None:
    verdict = judge(GateSpec(no_regression=["git"], evidence="mean"), *FELL, [shown("git", call, drop)])
    assert not verdict.passed
    assert verdict.checks[0].reason.endswith(f": {words}")


# Guard cases


def guarded(category: str, decision: Literal["kept", "fell", "undecided"], **figures: object) -> GuardFinding:
    known = {"cases": 300, "families": 14, "looks": 2, "planned": 3, "before": 0.9, "after": 0.88, "fall": 0.02}
    bounds = {"over_families": (-0.01, 0.05), "over_cases": (0.0, 0.04), "margin": 0.03, "alpha": 0.05}
    return GuardFinding.model_validate(
        {"category": category, "decision": decision, **known, **bounds, "within": 0.03, **figures}
    )


TESTED = GateSpec(no_regression=["git"], evidence="tested")


@pytest.mark.parametrize(
    ("finding", "passed", "fell", "harm", "reason"),
    [
        pytest.param(
            guarded("git", "kept"), True, False, False,
            "git 90.0% -> 88.0% on 300 guard cases: kept, a fall of 3 points is excluded",
            id="kept",
        ),
        pytest.param(
            guarded("git", "kept", within=0.06, basis="cases"), True, False, False,
            "git 90.0% -> 88.0% on 300 guard cases: kept, a fall of 6 points is excluded, one of 3 isn't "
            "(over 14 families)",
            id="kept at the end",
        ),
        pytest.param(
            guarded("git", "fell", within=None, after=0.7, fall=0.2), False, True, True,
            "git 90.0% -> 70.0% on 300 guard cases: fell by more than 3 points",
            id="fell",
        ),
        pytest.param(
            guarded("git", "undecided", within=None), False, False, True,
            "git 90.0% -> 88.0% on 300 guard cases: undecided, a change of -5.0 to +1.0 points is possible and the "
            "margin is 3",
            id="undecided",
        ),
    ],
)  # fmt: skip
def test_guard_cases_decide_where_there_are_any(
    finding: GuardFinding, passed: bool, fell: bool, harm: bool, reason: str
) -> None:
    """The means on the suite fell by 30 points, and decide nothing."""
    verdict = judge(TESTED, *FELL, guard=[finding])
    (check,) = verdict.checks
    assert (verdict.passed, check.fell, verdict.lost_something) == (passed, fell, harm)
    assert check.reason == reason
    assert (check.before, check.after, check.n, check.decision) == (0.9, finding.after, 300, finding.decision)
    assert check.required == pytest.approx(0.87)
    assert verdict.guard == [finding]


@pytest.mark.parametrize(
    ("decision", "passed", "words"),
    [
        ("reached", True, "domain 70.0% on 300 guard cases reaches 60.0% (at least 64.0%)"),
        ("missed", False, "domain 70.0% on 300 guard cases misses 60.0% (at least 64.0%)"),
        ("undecided", False, "domain 70.0% on 300 guard cases isn't shown to reach 60.0% (at least 64.0%)"),
    ],
)
def test_a_target_is_judged_by_its_guard_cases(decision: str, passed: bool, words: str) -> None:
    finding = guarded("domain", "kept", after=0.7, target=0.6, target_decision=decision, after_bounds=(0.64, 0.75))
    before, after = result(domain=(0.5, 30)), result(domain=(0.5, 30))
    verdict = judge(GateSpec(target={"domain": 0.6}, evidence="tested"), before, after, guard=[finding])
    assert (verdict.passed, verdict.checks[0].reason, verdict.checks[0].decision) == (passed, words, decision)
    assert not verdict.lost_something


def test_a_category_without_guard_cases_is_judged_by_its_mean_and_says_so() -> None:
    spec = GateSpec(no_regression=["git", "lsp"], evidence="tested", tolerance=0.04)
    before, after = result(git=(1.0, 27), lsp=(1.0, 25)), result(git=(26 / 27, 27), lsp=(0.9, 25))
    verdict = judge(spec, before, after, no_guard={"git": "no template fits"})
    assert [check.passed for check in verdict.checks] == [True, False]
    assert verdict.checks[0].reason.endswith(", by the mean: no template fits")
    assert verdict.reasons[0].endswith(", by the mean: there are no guard cases")
    assert verdict.no_guard == {"git": "no template fits"}
    said = judge(spec, before, after, [shown("git", "indistinguishable"), shown("lsp", "suspected", None)])
    assert said.checks[0].reason.endswith(", by the mean: there are no guard cases; its 10 cases show falls ≥ 40")
    assert ": suspected, p 0.25, Holm 0.5; shows no fall, by the mean" in said.checks[1].reason


def test_a_verdict_with_guard_cases_is_stored_whole() -> None:
    verdict = judge(TESTED, *FELL, guard=[guarded("git", "kept", over_families=None)])
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_an_older_verdict_still_loads() -> None:
    stored = judge(GateSpec(no_regression=["git"], evidence="mean"), *FELL).model_dump(mode="json")
    del stored["checks"][0]["evidence"], stored["checks"][0]["decision"]
    del stored["evidence"], stored["guard"], stored["no_guard"]
    read = Verdict.model_validate(stored)
    assert (read.checks[0].evidence, read.evidence, read.guard) == (None, [], [])
    assert GateCheck.model_validate(stored["checks"][0]).fell


def formats(*shares: tuple[float, int, int]) -> EvalResult:
    found = [FormatShare(temperature=t, answers=answers, right=right) for t, answers, right in shares]
    return result().model_copy(update={"formats": found})


def test_the_format_is_kept_at_every_temperature() -> None:
    spec = GateSpec(min_format=0.95)
    verdict = judge(spec, formats((0.0, 10, 10)), formats((0.0, 10, 10), (0.7, 100, 95), (1.0, 100, 94)))
    assert [check.passed for check in verdict.checks] == [True, True, False]
    assert verdict.reasons == ["format at temperature 1 94.0% < 95.0% (n=100)"]
    assert [(check.kind, check.before, check.after, check.n) for check in verdict.checks[:2]] == [
        ("format", 1.0, 1.0, 10),
        ("format", None, 0.95, 100),
    ]
    assert verdict.falls == []


def test_a_format_that_was_not_measured_has_not_passed() -> None:
    verdict = judge(GateSpec(min_format=0.5), formats((0.0, 10, 10)), result())
    assert verdict.reasons == ["the format of answers was not measured, min_format 50.0%"]


def test_without_min_format_the_format_decides_nothing() -> None:
    assert judge(GateSpec(target={"git": 0.5}, evidence="mean"), result(git=(1.0, 4)), result(git=(1.0, 4))).passed
