"""The report of a phase: one self-contained HTML page. It loads no other file and has no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from topcoat.report.answers import answers_section
from topcoat.report.attempt import attempts_table, fuse_section, loss_section
from topcoat.report.call_format import format_section
from topcoat.report.chart import before_and_after
from topcoat.report.faults import faults_section
from topcoat.report.guard import guard_section
from topcoat.report.html import Html, data_table, element, legend, name, section
from topcoat.report.passes import passes_section
from topcoat.report.phases import matrix_section
from topcoat.report.style import STYLE
from topcoat.spec.suite import Case
from topcoat.store.lineage import Standing
from topcoat.store.records import AttemptResult, GateCheck
from topcoat.suites.evidence.compare import CategoryChange, Comparison, compare_attempt
from topcoat.suites.evidence.matrix import ScoreMatrix
from topcoat.suites.evidence.words import NONE, category_row

__all__ = ["PhaseReport", "categories_section", "phase_body", "render"]

_CAPTION = (
    "Mean score of each category with its 95% interval; n is the number of cases. The evidence is that of a paired "
    "sign-flip test by family, two-sided, with Holm's adjustment over the categories that changed, and the smallest "
    "fall that four of five evaluations would have confirmed."
)
_COLUMNS = ("Category", "n", "Before", "After", "Change", "Evidence", "Gate")
_CALLS = {"confirmed better": "good", "confirmed worse": "bad"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """The contents of a report. There is at least one of `attempts`; the last one decided the phase.

    `matrix` has the scores after each promoted phase up to this one, if they are known. `canary` says what the phase
    awaits, or what its canary decided; "" without one.
    """

    phase: str
    outcome: Standing
    attempts: Sequence[AttemptResult]
    cases: Sequence[Case]
    matrix: ScoreMatrix | None = None
    canary: str = ""


def render(report: PhaseReport) -> str:
    """The page as a complete document. Every text that a model or a user wrote is escaped."""
    title = f"{report.phase}: {report.outcome}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Html(STYLE)),
    )
    body = element("body", element("main", *phase_body(report)))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def phase_body(report: PhaseReport) -> Iterator[Html]:
    """What the page says, part by part: the verdict, then the sections. Every text is escaped."""
    last = report.attempts[-1]
    yield _header(report, last)
    yield from _sections(report, last)


def _sections(report: PhaseReport, last: AttemptResult) -> Iterator[Html]:
    """The sections in order, without those of steps that the attempt didn't reach."""
    comparison = compare_attempt(last)
    if comparison:
        yield categories_section(comparison)
        if comparison.guard:
            yield guard_section(last.verdict)
    if last.after and last.after.formats:
        yield format_section(last.before, last.after)
    if last.after and last.after.passes:
        yield passes_section(last.before, last.after)
    if last.after and (last.before.faults or last.after.faults):
        yield faults_section(last.before, last.after)
    if last.train and not last.train.adopted:
        yield loss_section(last.train)
    if last.fuse:
        yield fuse_section(last.fuse)
    yield attempts_table(report.attempts)
    if report.matrix and len(report.matrix.rows) > 1:
        yield matrix_section(report.matrix)
    if comparison:
        yield answers_section(comparison, report.cases)


def _header(report: PhaseReport, last: AttemptResult) -> Html:
    passed = last.verdict.passed
    tone = {"promoted": "good", "discarded": "bad"}.get(report.outcome, "plain")
    badge = element("span", report.outcome.upper(), class_=f"badge {tone}")
    shown = [check for check in last.verdict.checks if passed or not check.passed]
    marks = [(check.passed, check.reason) for check in shown]
    if last.verdict.failure:
        marks.insert(0, (False, last.verdict.failure))
    reasons = [
        element("li", element("span", "✓" if good else "✗", class_=f"mark {'good' if good else 'bad'}"), reason)
        for good, reason in marks
    ]
    which = "the first attempt" if len(report.attempts) == 1 else f"attempt {last.attempt} of {len(report.attempts)}"
    return element(
        "header",
        element("div", element("h1", report.phase), badge, class_="head"),
        element("p", f"{last.before.model} → {last.model}, decided by {which}", class_="soft"),
        element("ul", *reasons, class_="reasons") if reasons else None,
        element("p", report.canary) if report.canary else None,
    )


def categories_section(comparison: Comparison) -> Html:
    """The means of each category before and after, and the evidence for their change."""
    rows = [_category(change, comparison.checks) for change in comparison.categories]
    if comparison.headline:
        rows.insert(0, _category(comparison.headline, [], headline=True))
    warning = None if comparison.same_suite else "The two models were evaluated on different suites."
    return section(
        "Categories",
        element("p", warning, class_="bad") if warning else None,
        data_table(_CAPTION, _COLUMNS, rows, words=(5, 6), label="Scores by category"),
        legend(coat="after", base="before", goal=" the gate's target"),
    )


def _category(change: CategoryChange, checks: Sequence[GateCheck], *, headline: bool = False) -> Html:
    goal = next((c.required for c in checks if c.kind == "target" and c.category == change.category), None)
    row = category_row(change, checks)
    gate = [
        element("span", f"{'✓' if met else '✗'} {words}", class_="good" if met else "bad") for met, words in row.gate
    ]
    delta = change.delta or 0.0
    counts = [f"{change.better} better"] * (change.better > 0) + [f"{change.worse} worse"] * (change.worse > 0)
    return element(
        "tr",
        element(
            "th", name(row.category), before_and_after(change.before, change.after, goal), scope="row", class_="wide"
        ),
        element("td", row.n),
        element("td", row.before, _note(row.before_interval)),
        element("td", row.after, _note(row.after_interval)),
        element(
            "td",
            row.change,
            _note(", ".join(counts)),
            class_="good" if delta > 0 else "bad" if delta < 0 else None,
        ),
        element(
            "td",
            element("span", row.evidence, class_=_CALLS.get(row.evidence)),
            _note(row.weight),
            _note(f"shows {row.shows}" if row.shows != NONE else ""),
            class_="words",
        ),
        element("td", Html("<br>".join(gate)), class_="words"),
        class_="headline" if headline else None,
    )


def _note(words: str) -> Html | None:
    return element("span", words, class_="note") if words not in ("", NONE) else None
