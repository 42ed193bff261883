from __future__ import annotations

from topcoat.store.records import AttemptResult, CategoryScore, EvalResult, GateCheck, Score, Verdict
from topcoat.suites.evidence.compare import CategoryChange, Comparison, compare, compare_attempt
from topcoat.suites.evidence.statistics import wilson


def result(model: str, values: dict[str, tuple[float, str]], digest: str = "s") -> EvalResult:
    """Case ids are CATEGORY-NUMBER; git is the headline."""
    scores = [
        Score(case_id=i, category=i[:-2], value=v, reason="", scorer="tiered", headline=i[:-2] == "git", answer=answer)
        for i, (v, answer) in values.items()
    ]
    categories = []
    for name in dict.fromkeys(score.category for score in scores):
        own = [s.value for s in scores if s.category == name]
        categories.append(CategoryScore(category=name, n=len(own), mean=sum(own) / len(own), solved=own.count(1.0)))
    headline = next((c.model_copy(update={"category": "headline"}) for c in categories if c.category == "git"), None)
    return EvalResult(
        model=model,
        suite_digest=digest,
        categories=categories,
        headline=headline,
        scores=scores,
        seconds=0.0,
        generated_tokens=0,
    )


BEFORE = result(
    "a", {"git-1": (1, "x"), "git-2": (0, "x"), "lsp-1": (0.1 + 0.2, "x"), "lsp-2": (1, "x"), "old-1": (1, "x")}
)
AFTER = result(
    "b", {"git-1": (0.5, "y"), "git-2": (1, "y"), "lsp-1": (0.3, "x"), "lsp-2": (1, "y"), "new-1": (1, "y")}, "t"
)


def test_cases_are_paired_by_id() -> None:
    comparison = compare(BEFORE, AFTER)
    assert [(c.case_id, c.kind) for c in comparison.changed] == [
        ("git-1", "worse"),
        ("git-2", "better"),
        ("lsp-2", "same"),
    ]
    assert [c.case_id for c in comparison.better] == ["git-2"]
    assert [c.case_id for c in comparison.worse] == ["git-1"]
    assert comparison.unpaired == ["old-1", "new-1"]
    assert (comparison.before, comparison.after, comparison.same_suite) == ("a", "b", False)


def test_categories_have_means_and_counts() -> None:
    comparison = compare(BEFORE, AFTER)
    git, lsp, old, new = comparison.categories
    assert git == CategoryChange(
        category="git",
        n=2,
        before=0.5,
        after=0.75,
        delta=0.25,
        better=1,
        worse=1,
        before_interval=wilson(0.5, 2),
        after_interval=wilson(0.75, 2),
    )
    assert (lsp.delta, lsp.better, lsp.worse) == (0.0, 0, 0)
    assert (old.n, old.before, old.after, old.delta) == (1, 1.0, None, None)
    assert (new.n, new.before, new.after, new.delta) == (1, None, 1.0, None)
    assert comparison.headline == git.model_copy(update={"category": "headline"})


def test_nothing_changed() -> None:
    comparison = compare(BEFORE, BEFORE)
    assert (comparison.changed, comparison.unpaired, comparison.same_suite) == ([], [], True)
    assert all(category.delta == 0.0 for category in comparison.categories)
    assert [category.evidence.call for category in comparison.categories if category.evidence] == [
        "indistinguishable"
    ] * 3


def test_evidence_stands_beside_each_category_of_one_suite() -> None:
    before = result("a", {f"git-{i}": (1.0, "x") for i in range(9)} | {f"lsp-{i}": (1.0, "x") for i in range(9)})
    after = result(
        "b", {f"git-{i}": (0.0, "y") for i in range(9)} | {f"lsp-{i}": (float(i > 0), "y") for i in range(9)}
    )
    git, lsp = (category.evidence for category in compare(before, after).categories)
    assert git is not None
    assert lsp is not None
    assert (git.category, git.call, git.p, git.adjusted_p) == ("git", "confirmed worse", 2 / 2**9, 4 / 2**9)
    assert (lsp.call, lsp.p, lsp.changed, lsp.families) == ("indistinguishable", 1.0, 1, 9)
    assert compare(before, after).headline is not None
    blocked = compare(before, after, blocked=["lsp"]).categories[1].evidence
    assert blocked is not None
    assert blocked.call == "suspected"
    # Another suite may ask something else under the same ids.
    other = after.model_copy(update={"suite_digest": "t"})
    assert [category.evidence for category in compare(before, other).categories] == [None, None]


def test_cases_of_a_family_count_once() -> None:
    before, after = (result(m, {f"git-{i}": (float(m == "a"), m) for i in range(9)}) for m in "ab")
    change = compare(of_one_family(before), of_one_family(after)).categories[0]
    assert change.evidence is not None
    assert (change.evidence.families, change.evidence.p, change.evidence.detectable_drop) == (1, 1.0, None)
    assert change.before_interval == wilson(1.0, 1)


def with_reserve(evaluation: EvalResult) -> EvalResult:
    categories = [category.model_copy(update={"reserve": 9}) for category in evaluation.categories]
    return evaluation.model_copy(update={"categories": categories})


def test_a_category_with_a_reserve_has_half_of_alpha_for_each_look() -> None:
    before, after = (result(m, {f"git-{i}": (float(m == "a"), m) for i in range(7)}) for m in "ab")
    once = compare(before, after).categories[0].evidence
    twice = compare(with_reserve(before), with_reserve(after)).categories[0].evidence
    assert once is not None
    assert twice is not None
    assert (once.p, twice.p) == (2 / 2**7, 2 / 2**7)
    assert (once.adjusted_p, twice.adjusted_p) == (2 / 2**7, 4 / 2**7)
    assert (once.level, twice.level) == (0.05, 0.025)


def attempt(verdict: Verdict, after: EvalResult | None) -> AttemptResult:
    before = result("a", {f"git-{i}": (1.0, "x") for i in range(9)})
    return AttemptResult(
        phase="p", attempt=1, learning_rate=1e-4, model="b", before=before, after=after, verdict=verdict
    )


def test_an_attempt_is_compared_with_the_evidence_of_its_verdict_in_either_order() -> None:
    after = result("b", {f"git-{i}": (float(i > 2), "y") for i in range(9)})
    own = compare(attempt(Verdict(passed=True), None).before, after).categories[0].evidence
    assert own is not None
    assert own.call == "indistinguishable"
    stored = own.model_copy(update={"call": "confirmed worse", "pairs": 18, "p": 0.001})
    check = GateCheck(category="git", kind="no_regression", required=1, before=1, after=1, n=9, passed=True, reason="")
    judged = attempt(Verdict(passed=True, checks=[check], evidence=[stored]), after)
    found, turned = compare_attempt(judged), compare_attempt(judged, turned=True)
    assert found is not None
    assert turned is not None
    assert found.categories[0].evidence == stored
    assert found.checks == judged.verdict.checks != []
    assert (turned.before, turned.after, turned.checks) == ("b", "a", [])
    assert turned.categories[0].evidence == stored.model_copy(update={"call": "confirmed better"})


def test_an_attempt_of_version_0_1_has_the_evidence_of_its_cases() -> None:
    after = result("b", {f"git-{i}": (0.0, "y") for i in range(9)})
    found = compare_attempt(attempt(Verdict(passed=True), after))
    assert found is not None
    assert (
        found.categories[0].evidence
        == compare(attempt(Verdict(passed=True), None).before, after).categories[0].evidence
    )
    assert compare_attempt(attempt(Verdict(passed=False, failure="diverged"), None)) is None


def of_one_family(evaluation: EvalResult) -> EvalResult:
    scores = [score.model_copy(update={"family": "f"}) for score in evaluation.scores]
    return evaluation.model_copy(update={"scores": scores})


def test_an_older_comparison_still_loads() -> None:
    stored = compare(BEFORE, AFTER).model_dump(mode="json")
    for category in [*stored["categories"], stored["headline"]]:
        for new in ("before_interval", "after_interval", "evidence"):
            del category[new]
    assert Comparison.model_validate(stored).categories[0].evidence is None
