"""`run`, `compare`, `status`, `plan` and the page say the same of a category."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.fake_project import opened, write_phase
from topcoat.cli.display import show_comparison, show_outcome, show_plan, show_status
from topcoat.phases.history import ProjectStatus, project_status
from topcoat.phases.judging.evaluation import compare_models
from topcoat.phases.plan import Plan
from topcoat.phases.planning import plan_phase
from topcoat.phases.run import PhaseOutcome, run_phase
from topcoat.report.page import PhaseReport, render
from topcoat.store.records import GuardFinding
from topcoat.suites.evidence.compare import Comparison, compare_attempt

CALLS = ("confirmed better", "confirmed worse", "suspected", "indistinguishable")


@dataclass(frozen=True)
class Phase:
    """What the five surfaces show of one phase."""

    outcome: PhaseOutcome
    comparison: Comparison
    status: ProjectStatus
    plan: Plan

    @property
    def page(self) -> str:
        return text_of(self.outcome.report.read_text())


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.replace("</style>", "")).split())


def shown(show: Callable[[Console], None]) -> list[str]:
    stream = StringIO()
    show(Console(file=stream, width=200, no_color=True))
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def line_of(lines: list[str], category: str) -> str:
    return next(line for line in lines if line.startswith(f"{category} "))


@pytest.fixture
def phase(fake_project: Path) -> Phase:
    """A discarded phase on a suite with reserve cases, some of whose categories get a second look."""
    path = fake_project / "suites" / "routing.jsonl"
    cases = [case for case in map(json.loads, path.read_text().splitlines()) if not case.get("reserve")]
    seen: dict[str, int] = {}
    for case in cases:
        seen[case["category"]] = seen.get(case["category"], 0) + 1
        case["reserve"] = seen[case["category"]] > 18
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    write_phase(
        fake_project,
        train__learning_rate=1e-2,
        gate__target__domain=0.3,
        gate__target__multi_tool=0.3,
        retry__max_attempts=1,
    )
    with opened(fake_project) as session:
        outcome = run_phase(session, fake_project / "phases" / "phase34a.toml")
        found = compare_models(session, session.model("phase33b"), session.model(outcome.last.model))
        return Phase(outcome, found, project_status(session), plan_phase(session))


def test_every_surface_has_the_same_means(phase: Phase) -> None:
    comparison, page = phase.comparison, phase.page
    run = shown(lambda console: show_outcome(console, phase.outcome))
    compare = shown(lambda console: show_comparison(console, comparison))
    status = shown(lambda console: show_status(console, phase.status))
    changed = 0
    for change in comparison.categories:
        assert change.before is not None
        assert change.after is not None
        before, after = f"{100 * change.before:.1f}%", f"{100 * change.after:.1f}%"
        changed += before != after
        start = f"{change.category} {change.n} {before} {after} "
        assert line_of(run, change.category).startswith(start)
        assert line_of(compare, change.category).startswith(start)
        assert line_of(status, change.category) == f"{change.category} {before} {after}"
        category = change.category.replace("_", "_ ?")  # a page may break a name there
        assert re.search(rf"\b{category} {change.n} {before} \S+ {after} ", page)
    assert changed > 0


def test_every_surface_has_the_same_evidence(phase: Phase) -> None:
    run = shown(lambda console: show_outcome(console, phase.outcome))
    compare = shown(lambda console: show_comparison(console, phase.comparison))
    looked_twice = 0
    for change in phase.comparison.categories:
        found = change.evidence
        assert found is not None
        looked_twice += found.pairs > change.n
        rows = [line_of(run, change.category), line_of(compare, change.category)]
        assert [[call for call in CALLS if call in row] for row in rows] == [[found.call]] * 2
        assert f"{found.call} p {found.p:.2g}, Holm {found.adjusted_p:.2g}" in phase.page
    assert looked_twice > 0


def test_conditions_and_reasons_are_the_same(phase: Phase) -> None:
    run = shown(lambda console: show_outcome(console, phase.outcome))
    status = shown(lambda console: show_status(console, phase.status))
    verdict = phase.outcome.last.verdict
    domain = [("✓" if check.passed else "✗") for check in verdict.checks if check.category == "domain"]
    assert f"{domain[0]} ≥ 30.0%" in line_of(run, "domain")
    assert f"{domain[0]} ≥ 30.0% {domain[1]} no fall" in phase.page
    assert verdict.reasons
    for reason in verdict.reasons:
        assert reason in run
        assert reason in status
        assert reason in phase.page.replace("&gt;", ">").replace("&lt;", "<")


def test_the_plan_has_the_means_of_the_status(phase: Phase) -> None:
    plan = shown(lambda console: show_plan(console, phase.plan, None))
    status = shown(lambda console: show_status(console, phase.status))
    assert phase.plan.needs
    for need in phase.plan.needs:
        assert f"{100 * need.mean:.1f}%" in line_of(plan, need.category).split()
        assert f"{100 * need.mean:.1f}%" in line_of(status, need.category).split()


def test_guard_cases_are_shown_alike(phase: Phase) -> None:
    finding = GuardFinding(
        category="domain",
        cases=300,
        families=45,
        looks=2,
        planned=3,
        before=0.5,
        after=0.623,
        fall=-0.123,
        over_families=(-0.18, -0.06),
        over_cases=(-0.17, -0.07),
        margin=0.03,
        alpha=0.05,
        decision="kept",
        within=0.03,
        target=0.6,
        target_decision="undecided",
        after_bounds=(0.58, 0.66),
    )
    last = phase.outcome.last
    judged = last.model_copy(update={"verdict": last.verdict.model_copy(update={"guard": [finding]})})
    compared = compare_attempt(judged)
    assert compared is not None
    row = "domain 300 of 45 families 50.0% 62.3% +12.3 +6.0 to +18.0 60.0% undecided, kept within 3"
    outcome = replace(phase.outcome, results=[judged])
    assert row in shown(lambda console: show_outcome(console, outcome))
    assert row in shown(lambda console: show_comparison(console, compared))
    assert row in text_of(render(PhaseReport("phase34a", "promoted", [judged], [])))
