from __future__ import annotations

import functools
import operator

import pytest

from topcoat.phases.gate import judge
from topcoat.spec.phase import GateSpec
from topcoat.store.records import Call, CategoryScore, EvalResult, Evidence, FormatShare, GateCheck, Verdict


def result(digest: str = "s", /, **means: tuple[float, int]) -> EvalResult:
    categories = [CategoryScore(category=c, n=n, mean=mean, solved=0) for c, (mean, n) in means.items()]
    return EvalResult(model="m", suite_digest=digest, categories=categories, scores=[], seconds=0.0, generated_tokens=0)


def test_a_target_is_reached_or_not() -> None:
    spec = GateSpec(target={"domain": 0.8, "git": 0.5})
    verdict = judge(spec, result(domain=(0.5, 30), git=(1.0, 4)), result(domain=(22 / 30, 30), git=(0.5, 4)))
    assert not verdict.passed
    assert verdict.reasons == ["domain 0.733 < 0.800 (n=30)"]
    assert [check.reason for check in verdict.checks] == ["domain 0.733 < 0.800 (n=30)", "git 0.500 >= 0.500 (n=4)"]
    assert [(c.kind, c.required, c.before, c.after, c.n, c.passed) for c in verdict.checks] == [
        ("target", 0.8, 0.5, 22 / 30, 30, False),
        ("target", 0.5, 1.0, 0.5, 4, True),
    ]


def test_a_category_may_not_fall() -> None:
    spec = GateSpec(no_regression=["git", "lsp", "cst"])
    before = result(git=(1.0, 28), lsp=(0.5, 4), cst=(0.2, 5))
    verdict = judge(spec, before, result(git=(26.12 / 28, 28), lsp=(0.5, 4), cst=(0.4, 5)))
    assert [check.passed for check in verdict.checks] == [False, True, True]
    assert [check.reason for check in verdict.checks] == [
        "git fell 1.000 -> 0.933 (n=28), tolerance 0.000",
        "lsp kept 0.500 (n=4), tolerance 0.000",
        "cst rose 0.200 -> 0.400 (n=5), tolerance 0.000",
    ]


@pytest.mark.parametrize(("after", "passed"), [(0.9, True), (0.95, True), (0.89, False)])
def test_a_fall_within_the_tolerance_passes(after: float, passed: bool) -> None:
    verdict = judge(GateSpec(no_regression=["git"], tolerance=0.1), result(git=(1.0, 10)), result(git=(after, 10)))
    assert verdict.passed is passed
    assert verdict.checks[0].required == pytest.approx(0.9)


def test_rounding_of_means_is_no_regression() -> None:
    exact, summed = 0.1, functools.reduce(operator.add, [0.1] * 10) / 10  # `sum` is exact from Python 3.12 on
    assert summed < exact
    assert judge(GateSpec(no_regression=["git"]), result(git=(exact, 10)), result(git=(summed, 10))).passed
    assert judge(GateSpec(target={"git": exact}), result(git=(exact, 10)), result(git=(summed, 10))).passed


def test_one_case_in_a_million_is_a_regression() -> None:
    spec = GateSpec(no_regression=["git"])
    verdict = judge(spec, result(git=(1.0, 10**6)), result(git=(1 - 1e-7, 10**6)))
    assert verdict.reasons == ["git fell 1.000000000 -> 0.999999900 (n=1000000), tolerance 0.000"]


def test_what_was_not_measured_has_not_passed() -> None:
    spec = GateSpec(target={"domain": 0.0}, no_regression=["git", "lsp", "cst"])
    verdict = judge(spec, result(lsp=(1.0, 1)), result(cst=(1.0, 1)))
    assert not any(check.passed for check in verdict.checks)
    assert verdict.reasons == [
        "domain was not measured, target 0.000",
        "git was not measured on either model",
        "lsp was not measured on the new model",
        "cst was not measured on the base",
    ]


def test_two_suites_are_not_compared() -> None:
    spec = GateSpec(target={"git": 1.0}, no_regression=["git"])
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
    spec = GateSpec(target={"lsp": 0.8}, no_regression=["git", "lsp"])
    evidence = [shown("git", "suspected"), shown("lsp", "confirmed better")]
    verdict = judge(spec, *FELL, evidence)
    assert [check.evidence for check in verdict.checks] == [evidence[1], evidence[0], evidence[1]]
    assert [check.passed for check in verdict.checks] == [check.passed for check in judge(spec, *FELL).checks]
    assert verdict.reasons == [
        "git fell 1.000 -> 0.700 (n=10), tolerance 0.000: suspected, p = 0.25, adjusted 0.5, a fall of 0.400 would show"
    ]
    assert verdict.falls == ["git"]


@pytest.mark.parametrize(
    ("call", "drop", "passed", "words"),
    [
        ("confirmed worse", 0.4, False, "confirmed worse, p = 0.25, adjusted 0.5"),
        ("suspected", 0.4, True, "a fall of 0.400 would show"),
        ("indistinguishable", None, True, "too few cases to show any fall"),
    ],
)
def test_a_gate_can_ask_for_confirmed_falls(call: Call, drop: float | None, passed: bool, words: str) -> None:
    spec = GateSpec(no_regression=["git"], evidence="confirmed")
    verdict = judge(spec, *FELL, [shown("git", call, drop)])
    assert verdict.passed is passed
    assert verdict.checks[0].reason.endswith(words)
    assert verdict.falls == ["git"]


def test_a_confirmed_fall_within_the_tolerance_passes() -> None:
    spec = GateSpec(no_regression=["git"], tolerance=0.3, evidence="confirmed")
    verdict = judge(spec, *FELL, [shown("git", "confirmed worse")])
    assert verdict.passed
    assert verdict.falls == []


def test_a_fall_without_evidence_blocks_even_if_confirmed_ones_are_asked_for() -> None:
    assert not judge(GateSpec(no_regression=["git"], evidence="confirmed"), *FELL).passed


def test_an_older_verdict_still_loads() -> None:
    stored = judge(GateSpec(no_regression=["git"]), *FELL).model_dump(mode="json")
    del stored["checks"][0]["evidence"]
    assert Verdict.model_validate(stored).checks[0].evidence is None
    assert GateCheck.model_validate(stored["checks"][0]).fell


def formats(*shares: tuple[float, int, int]) -> EvalResult:
    found = [FormatShare(temperature=t, answers=answers, right=right) for t, answers, right in shares]
    return result().model_copy(update={"formats": found})


def test_the_format_is_kept_at_every_temperature() -> None:
    spec = GateSpec(min_format=0.95)
    verdict = judge(spec, formats((0.0, 10, 10)), formats((0.0, 10, 10), (0.7, 100, 95), (1.0, 100, 94)))
    assert [check.passed for check in verdict.checks] == [True, True, False]
    assert verdict.reasons == ["format at temperature 1 0.940 < 0.950 (n=100)"]
    assert [(check.kind, check.before, check.after, check.n) for check in verdict.checks[:2]] == [
        ("format", 1.0, 1.0, 10),
        ("format", None, 0.95, 100),
    ]
    assert verdict.falls == []


def test_a_format_that_was_not_measured_has_not_passed() -> None:
    verdict = judge(GateSpec(min_format=0.5), formats((0.0, 10, 10)), result())
    assert verdict.reasons == ["the format of answers was not measured, min_format 0.500"]


def test_without_min_format_the_format_decides_nothing() -> None:
    assert judge(GateSpec(target={"git": 0.5}), result(git=(1.0, 4)), result(git=(1.0, 4))).passed
