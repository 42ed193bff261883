"""Records as tables and lines. Every function takes a console and a record, and only prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from topcoat.cli.answers import show_faults, show_formats, show_passes, show_servers
from topcoat.cli.console import print_line, print_table
from topcoat.cli.costs import show_budget, show_estimate
from topcoat.doctor.examine import Examination
from topcoat.errors import TopcoatError
from topcoat.examples.checks.codes import CODES
from topcoat.phases.history import LogEntry, ProjectStatus
from topcoat.phases.plan import Need, Plan
from topcoat.phases.run import PhaseOutcome
from topcoat.quantity import counted
from topcoat.store.records import CheckReport, EvalResult, GuardFinding
from topcoat.suites.evidence.compare import Comparison, compare_attempt
from topcoat.suites.evidence.matrix import ScoreMatrix
from topcoat.suites.evidence.words import NONE, category_row, guard_row, interval_words, percent, points
from topcoat.usage.extraction.extract import REJECTIONS, Extraction
from topcoat.usage.extraction.rules import REASONS

__all__ = [
    "show_check",
    "show_comparison",
    "show_error",
    "show_evaluation",
    "show_examination",
    "show_extraction",
    "show_log",
    "show_outcome",
    "show_plan",
    "show_status",
]

MOST_OF_A_CODE = 5
"""Findings shown of one code; the rest are counted."""
MOST_HINTS = 3
"""Different hints shown of one code."""
MOST_MODELS = 4
"""Models whose scores stand side by side: the newest."""

_MOST_MISTAKES = 100
_EVIDENCE = ("evidence", "shows")
_WORDS = ("evidence", "gate", "decision")
_CALLS: Mapping[str, str] = {
    "confirmed better": "bold green",
    "confirmed worse": "bold red",
    "suspected": "yellow",
    "indistinguishable": "dim",
}


def show_error(console: Console, error: TopcoatError) -> None:
    """What, where, hint: a line each, for every mistake; of very many, the first."""
    if len(error.mistakes) > 1:
        print_line(console, f"[bold red]error:[/] {escape(error.message)}")
    for mistake in error.mistakes[:_MOST_MISTAKES]:
        lead = "[bold red]error:[/] " if len(error.mistakes) == 1 else ""
        print_line(console, f"{lead}{escape(mistake.message)}")
        if mistake.where:
            print_line(console, f"  at {escape(str(mistake.where))}")
        if mistake.hint:
            print_line(console, f"  [cyan]hint:[/] {escape(mistake.hint)}")
    if len(error.mistakes) > _MOST_MISTAKES:
        print_line(console, f"... and {len(error.mistakes) - _MOST_MISTAKES} more")


def show_evaluation(console: Console, result: EvalResult) -> None:
    """Scores by category, each with its n and interval."""
    columns = ("category", "score", "95% interval", "n", "solved")
    table = _table(*columns, "errors") if result.errors else _table(*columns)
    rows = [*result.categories, *([result.headline] if result.headline else [])]
    for row in rows:
        cells = [escape(row.category), percent(row.mean), interval_words(row.interval), str(row.n), str(row.solved)]
        table.add_row(*cells, *([str(row.errors)] if result.errors else []))
    print_line(console, f"[bold]{escape(result.model)}[/]")
    print_table(console, table)
    show_formats(console, result)
    show_passes(console, result)
    show_faults(console, result)
    show_servers(console, result)
    for error in result.errors:
        print_line(console, f"[red]no answer[/]  {escape(error.case_id)}: {escape(error.reason)}")
    if result.errors:
        count = "1 case has" if len(result.errors) == 1 else f"{len(result.errors)} cases have"
        print_line(console, f"{count} no score: the means are those of the others")


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Two models side by side, by category, with what the cases show."""
    table = _table("category", "n", escape(comparison.before), escape(comparison.after), "change", *_EVIDENCE)
    for change in comparison.categories:
        row = category_row(change)
        table.add_row(
            escape(row.category),
            row.n,
            _measured(row.before, row.before_interval),
            _measured(row.after, row.after_interval),
            _change(change.delta, row.change),
            f"{_styled(row.evidence)}\n[dim]{row.weight}[/]" if row.weight else row.evidence,
            row.shows,
        )
    print_table(console, table)
    _explain(console, comparison)
    show_guard(console, comparison.guard)
    for case in comparison.worse:
        print_line(console, f"[red]worse[/]  {escape(case.case_id)}: {escape(case.after.reason)}")
    print_line(
        console,
        f"{counted(len(comparison.better), 'case')} better, {len(comparison.worse)} worse, "
        f"{counted(len(comparison.changed), 'answer')} changed",
    )


def show_check(console: Console, report: CheckReport) -> None:
    """Findings by code, each with its place, then the budget."""
    for code in dict.fromkeys(finding.code for finding in report.findings):
        same = [finding for finding in report.findings if finding.code == code]
        severity = "allowed" if same[0].allowed else same[0].severity
        style = {"error": "bold red", "warning": "yellow"}.get(severity, "dim")
        print_line(console, f"[{style}]{severity}[/] [bold]{code}[/]: {escape(CODES[code])} ({len(same)})")
        for finding in same[:MOST_OF_A_CODE]:
            print_line(console, f"  {escape(finding.where)}: {escape(finding.message)}")
        if len(same) > MOST_OF_A_CODE:
            more = f"and {len(same) - MOST_OF_A_CODE} more: `topcoat check {report.phase} --json`"
            print_line(console, f"  [dim]{escape(more)}[/]")
        for hint in list(dict.fromkeys(finding.hint for finding in same[:MOST_OF_A_CODE]))[:MOST_HINTS]:
            print_line(console, f"  [cyan]hint:[/] {escape(hint)}")
    show_budget(console, report.budget)
    if report.estimate is not None:
        show_estimate(console, report.estimate)
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    counts = f"{counted(len(report.errors), 'error')}, {counted(warnings, 'warning')}"
    print_line(console, f"[{'red' if report.errors else 'green'}]{counts}[/]")


def show_outcome(console: Console, outcome: PhaseOutcome) -> None:
    """The verdict, before and after by category, and where the report is."""
    last = outcome.last
    if outcome.already:
        print_line(console, f"{escape(outcome.phase)} was run before with the same inputs: nothing to do")
    comparison = compare_attempt(last)
    if comparison and last.after:
        print_table(console, _before_after(comparison))
        show_guard(console, comparison.guard)
        show_formats(console, last.after)
        show_passes(console, last.after)
        show_faults(console, last.after)
    word = {"promoted": "[bold green]PROMOTED[/]", "awaiting": "[bold yellow]AWAITING its canary:[/]"}.get(
        outcome.standing, "[bold red]DISCARDED[/]"
    )
    tries = f"after {len(outcome.results)} attempt{'s' if len(outcome.results) > 1 else ''}"
    passed = outcome.promoted or outcome.awaiting
    print_line(console, f"{word} {escape(last.model if passed else outcome.phase)} {tries}")
    for reason in [*last.verdict.reasons, *filter(None, [outcome.canary])]:
        print_line(console, f"  {escape(reason)}")
    if outcome.awaiting:
        print_line(console, "  topcoat serve tries it with a share of the sessions, and promotes or discards it")
    word = "is" if outcome.promoted else "is untouched:"
    print_line(console, f"  production {word} {escape(outcome.production)}, in {escape(str(outcome.folder))}")
    print_line(console, f"report: {escape(str(outcome.report))}")


def _before_after(comparison: Comparison) -> Table:
    """The decision in 80 columns; intervals and p values are in `topcoat compare` and in the report."""
    table = _table("category", "n", "before", "after", "change", "evidence", "gate")
    for change in comparison.categories:
        row = category_row(change, comparison.checks)
        cells = (escape(row.category), row.n, row.before, row.after, _change(change.delta, row.change))
        gate = [f"[{'green' if met else 'red'}]{'✓' if met else '✗'}[/] {words}" for met, words in row.gate]
        table.add_row(*cells, _styled(row.evidence), "\n".join(gate))
    return table


def show_guard(console: Console, found: Sequence[GuardFinding]) -> None:
    """What guard cases showed, by category, if there were any."""
    if not found:
        return
    table = _table("guard cases", "n", "before", "after", "change", "bounds", "decision")
    for finding in found:
        row = guard_row(finding)
        cells = (escape(row.category), row.cases, row.before, row.after, row.change, row.bounds)
        table.add_row(*cells, row.decision)
    print_table(console, table)
    alphas = ", ".join(sorted({f"{100 * finding.alpha:g}%" for finding in found}))
    print_line(console, f"[dim]bounds: of the change in points; over all looks, each is wrong in {alphas} at most[/]")


def _explain(console: Console, comparison: Comparison) -> None:
    """How the table is to be read, if there is anything to explain."""
    if any(row.evidence for row in comparison.categories):
        print_line(
            console,
            "[dim]95% intervals; paired sign-flip test by family, two-sided, Holm over the categories that changed; "
            "shows: the smallest fall that four of five evaluations would have confirmed[/]",
        )


def show_plan(console: Console, plan: Plan, written: Path | None) -> None:
    """What is weak, what to write as data, and how it would be trained."""
    if plan.spec is None:
        print_line(console, escape(plan.nothing_weak))
        print_line(console, f"[cyan]hint:[/] {plan.ways_on}")
        return
    table = _table("category", "score", "95% interval", "failed", "target", "examples")
    for need in plan.needs:
        figures = (
            percent(need.mean),
            interval_words(need.interval),
            f"{need.failed} of {need.n}",
            percent(need.target),
        )
        table.add_row(escape(need.category), *figures, str(need.examples))
    console.print(f"[bold]{escape(plan.model)}[/]")
    print_table(console, table)
    for need in plan.needs:
        _show_need(console, need)
    spec, held = plan.spec, sum(need.examples for need in plan.needs) - plan.trained
    rate = spec.train.learning_rate
    print_line(
        console,
        f"{counted(plan.trained, 'example')} to train on, {held} held out; "
        f"{spec.train.iters} iterations of {spec.train.batch_size} = {counted(plan.updates, 'update')} = "
        f"{plan.passes:.2f} passes; learning rate {rate:g}"
        + (", lower because the base has a coat already" if plan.layered else ""),
    )
    data = spec.data.train[0]
    file = f"phases/{plan.name}.toml"
    if written is None:
        print_line(console, f"next: topcoat plan --write {escape(file)}")
    else:
        print_line(console, f"wrote {escape(str(written))}; next, write the examples and check them:")
        for need in plan.needs:
            print_line(console, f"  topcoat data new --category {escape(need.category)} --to {escape(data)}")
        print_line(console, f"  topcoat check {escape(plan.name)}")


def _show_need(console: Console, need: Need) -> None:
    """What to write for a category, and what its failed cases called instead."""
    print_line(console, f"[bold]{escape(need.category)}[/]: write {counted(need.examples, 'example')}")
    for chain in need.chains:
        confused = [f"{c.called} ({len(c.cases)})" for c in need.confusions if c.wanted == chain.tools]
        instead = f"; instead: {', '.join(confused)}" if confused else ""
        text = f"{chain.examples:4}  {chain.tools}, {chain.failed} of {chain.cases} failed{instead}"
        print_line(console, escape(text))


def show_status(console: Console, status: ProjectStatus) -> None:
    """Production, models with their scores, phases."""
    print_line(console, f"[bold]{escape(status.project)}[/], production: {escape(status.production or 'none yet')}")
    for model in status.models:
        if model.production and model.path:
            print_line(console, f"  in {escape(model.path)}")
    shown = [model for model in status.models if model.categories][-MOST_MODELS:]
    if shown:
        table = _table("category", *(escape(model.name) for model in shown))
        for category in dict.fromkeys(score.category for model in shown for score in model.categories):
            scores = [next((s.mean for s in m.categories if s.category == category), None) for m in shown]
            table.add_row(escape(category), *map(percent, scores))
        print_table(console, table)
    if status.matrix and len(status.matrix.rows) > 1:
        _show_matrix(console, status.matrix)
    for phase in status.phases:
        tries = f"{phase.attempts} attempt{'s' if phase.attempts != 1 else ''} on {phase.base}"
        style = {"promoted": "green", "discarded": "red"}.get(phase.outcome, "yellow")
        if phase.outcome == "awaiting":
            print_line(console, f"{escape(phase.name)}: [{style}]{escape(phase.detail)}[/]")
            continue
        print_line(console, f"{escape(phase.name)}: [{style}]{phase.outcome}[/] after {escape(tries)}")
        if phase.outcome != "promoted":
            for reason in filter(None, phase.detail.split("; ")):
                print_line(console, f"  {escape(reason)}")


def _show_matrix(console: Console, matrix: ScoreMatrix) -> None:
    """The scores after each promoted phase, the cells that a phase taught in bold, and the four figures."""
    table = _table("after", *map(escape, matrix.columns))
    for index, row in enumerate(matrix.rows):
        cells = [percent(score) for score in row.scores]
        marked = [f"[bold]{c}[/]" if t == index > 0 else c for c, t in zip(cells, matrix.taught, strict=True)]
        table.add_row(escape(row.model), *marked)
    print_table(console, table)
    figures = {
        "average": percent(matrix.average),
        "backward transfer": _signed(matrix.backward_transfer),
        "forward transfer": _signed(matrix.forward_transfer),
        "forgetting": _signed(matrix.forgetting),
    }
    print_line(console, ", ".join(f"{name} {value}" for name, value in figures.items()))


def show_log(console: Console, entries: Sequence[LogEntry]) -> None:
    """A line for each thing that happened."""
    for entry in entries:
        print_line(console, f"[dim]{escape(entry.at)}[/]  {escape(entry.what)}  [dim]{escape(entry.detail)}[/]")


def _table(*columns: str) -> Table:
    """The one look of tables: no vertical lines, figures to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "left" if index == 0 or column in _WORDS else "right"
        table.add_column(column, justify=justify, no_wrap=column in ("n", "evidence"))
    return table


def _signed(value: float | None) -> str:
    return points(value) if value is None else f"{points(value)} points"


def _measured(mean: str, interval: str) -> str:
    """A mean with its interval below it."""
    return mean if interval == NONE else f"{mean}\n[dim]{interval}[/]"


def _change(value: float | None, words: str) -> str:
    """A change of a mean, in its colour."""
    return f"[{'green' if value and value > 0 else 'red' if value and value < 0 else 'dim'}]{words}[/]"


def _styled(call: str) -> str:
    return f"[{_CALLS[call]}]{call}[/]" if call in _CALLS else call


def show_extraction(console: Console, found: Extraction) -> None:
    """What was found, what was rejected, and why."""
    reasons = CODES | REASONS | REJECTIONS
    total = sum(found.examples.values())
    sessions = f"{counted(found.sessions, 'session')}, {found.held_out} of them held out"
    print_line(console, f"{sessions}: {counted(found.candidates, 'candidate')}")
    for category in {**found.asked, **found.examples}:
        asked = f" of {found.asked[category]}" if category in found.asked else ""
        print_line(console, f"  {escape(category)}: {found.examples.get(category, 0)}{asked}")
    if found.kinds:
        print_line(console, "  of kind " + ", ".join(f"{kind} {count}" for kind, count in found.kinds.items()))
    if found.rejected:
        print_line(console, f"rejected: {sum(found.rejected.values())}")
    for code, count in found.rejected.items():
        print_line(console, f"  {count:4} {code}: {escape(reasons[code])}")
    if total:
        print_line(console, f"wrote {escape(found.path)}: {counted(total, 'example')}")
    else:
        print_line(console, f"no example is left: {escape(found.path)} was not written")
    if found.cases:
        print_line(console, f"wrote {escape(found.suite)}: {counted(found.cases, 'case')}")


def show_examination(console: Console, found: Examination) -> None:
    """What was recovered, what is whole, and each finding with its place and what helps."""
    if found.recovery is not None:
        recovered = found.recovery
        print_line(
            console,
            f"made the lineage again: {counted(recovered.models, 'model')}, {counted(recovered.phases, 'phase')}, "
            f"{counted(recovered.attempts, 'attempt')}",
        )
        if recovered.aside:
            print_line(console, f"  the old file is {escape(recovered.aside)}")
        for lost in recovered.lost:
            print_line(console, f"  [yellow]not known:[/] {escape(lost)}")
    if found.production:
        print_line(console, f"production is {escape(found.production)} in {escape(found.production_path or '')}")
    for whole in found.checked:
        print_line(console, f"[green]ok[/] {escape(whole)}")
    for finding in found.findings:
        style = "bold red" if finding.severity == "error" else "yellow"
        print_line(console, f"[{style}]{finding.severity}[/] [bold]{finding.code}[/]: {escape(finding.message)}")
        print_line(console, f"  at {escape(finding.where)}")
        print_line(console, f"  [cyan]hint:[/] {escape(finding.hint)}")
    warnings = len(found.findings) - len(found.errors)
    counts = f"{counted(len(found.errors), 'error')}, {counted(warnings, 'warning')}"
    print_line(console, f"[{'red' if found.errors else 'green'}]{counts}[/]")
