"""Records as tables and lines. Every function takes a console and a record, and only prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from topcoat.data.check import CODES
from topcoat.errors import TopcoatError
from topcoat.evals.compare import Comparison
from topcoat.records import AttemptResult, CheckReport, EvalResult
from topcoat.spec.phase import GateSpec
from topcoat.workflow import PhaseOutcome, ProjectStatus
from topcoat.workflow.history import LogEntry

__all__ = [
    "show_check",
    "show_comparison",
    "show_error",
    "show_evaluation",
    "show_log",
    "show_outcome",
    "show_status",
]

MOST_OF_A_CODE = 5
"""Findings shown of one code; the rest are counted."""
MOST_MODELS = 4
"""Models whose scores stand side by side: the newest."""


def show_error(console: Console, error: TopcoatError) -> None:
    """What, where, hint: a line each, for every mistake."""
    if len(error.mistakes) > 1:
        _line(console, f"[bold red]error:[/] {escape(error.message)}")
    for mistake in error.mistakes:
        lead = "[bold red]error:[/] " if len(error.mistakes) == 1 else ""
        _line(console, f"{lead}{escape(mistake.message)}")
        if mistake.where:
            _line(console, f"  at {escape(str(mistake.where))}")
        if mistake.hint:
            _line(console, f"  [cyan]hint:[/] {escape(mistake.hint)}")


def show_evaluation(console: Console, result: EvalResult) -> None:
    """Scores by category, each with its n."""
    table = _table("category", "score", "n", "solved")
    rows = [*result.categories, *([result.headline] if result.headline else [])]
    for row in rows:
        table.add_row(escape(row.category), f"{row.mean:.1%}", str(row.n), str(row.solved))
    console.print(f"[bold]{escape(result.model)}[/]")
    console.print(table)


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Two models side by side, by category."""
    table = _table("category", "n", escape(comparison.before), escape(comparison.after), "change")
    for row in comparison.categories:
        table.add_row(escape(row.category), str(row.n), _percent(row.before), _percent(row.after), _change(row.delta))
    console.print(table)
    for case in comparison.worse:
        _line(console, f"[red]worse[/]  {escape(case.case_id)}: {escape(case.after.reason)}")
    _line(
        console,
        f"{len(comparison.better)} cases better, {len(comparison.worse)} worse, "
        f"{len(comparison.changed)} answers changed",
    )


def show_check(console: Console, report: CheckReport) -> None:
    """Findings by code, each with its place, then the budget."""
    for code in dict.fromkeys(finding.code for finding in report.findings):
        same = [finding for finding in report.findings if finding.code == code]
        severity = "allowed" if same[0].allowed else same[0].severity
        style = {"error": "bold red", "warning": "yellow"}.get(severity, "dim")
        _line(console, f"[{style}]{severity}[/] [bold]{code}[/]: {escape(CODES[code])} ({len(same)})")
        for finding in same[:MOST_OF_A_CODE]:
            _line(console, f"  {escape(finding.where)}: {escape(finding.message)}")
        if len(same) > MOST_OF_A_CODE:
            _line(console, f"  [dim]and {len(same) - MOST_OF_A_CODE} more: topcoat check {report.phase} --json[/]")
        _line(console, f"  [cyan]hint:[/] {escape(same[0].hint)}")
    budget = report.budget
    _line(
        console,
        f"{budget.examples} examples, {budget.replay_pool} to replay from, {budget.valid} held out; "
        f"{budget.iterations} iterations = {budget.updates} updates = {budget.passes:.2f} passes; "
        f"{budget.replayed} rows replayed; {budget.trained_tokens} tokens trained; longest row {budget.longest} tokens",
    )
    counts = f"{len(report.errors)} errors, {sum(f.severity == 'warning' for f in report.findings)} warnings"
    _line(console, f"[{'red' if report.errors else 'green'}]{counts}[/]")


def show_outcome(console: Console, outcome: PhaseOutcome) -> None:
    """The verdict, before and after by category, and where the report is."""
    last = outcome.last
    if outcome.already:
        _line(console, f"{escape(outcome.phase)} was run before with the same inputs: nothing to do")
    if last.after is not None:
        console.print(_before_after(last, outcome.gate))
    word = "[bold green]PROMOTED[/]" if outcome.promoted else "[bold red]DISCARDED[/]"
    tries = f"after {len(outcome.results)} attempt{'s' if len(outcome.results) > 1 else ''}"
    _line(console, f"{word} {escape(last.model if outcome.promoted else outcome.phase)} {tries}")
    for reason in last.verdict.reasons:
        _line(console, f"  {escape(reason)}")
    if not outcome.promoted:
        _line(console, f"  production is untouched: {escape(last.before.model)}")
    _line(console, f"report: {escape(str(outcome.report))}")


def _before_after(result: AttemptResult, gate: GateSpec) -> Table:
    assert result.after is not None
    table = _table("category", "n", "before", "after", "change", "gate")
    for before in result.before.categories:
        after = result.after.category(before.category)
        name = before.category
        asked = [f"at least {gate.target[name]:.0%}"] if name in gate.target else []
        asked += ["no worse"] if name in gate.no_regression else []
        table.add_row(
            escape(name),
            str(before.n),
            _percent(before.mean),
            _percent(after.mean if after else None),
            _change(after.mean - before.mean if after else None),
            ", ".join(asked),
        )
    return table


def show_status(console: Console, status: ProjectStatus) -> None:
    """Production, models with their scores, phases."""
    _line(console, f"[bold]{escape(status.project)}[/], production: {escape(status.production or 'none yet')}")
    shown = [model for model in status.models if model.categories][-MOST_MODELS:]
    if shown:
        table = _table("category", *(escape(model.name) for model in shown))
        for category in dict.fromkeys(score.category for model in shown for score in model.categories):
            scores = [next((s.mean for s in m.categories if s.category == category), None) for m in shown]
            table.add_row(escape(category), *map(_percent, scores))
        console.print(table)
    for phase in status.phases:
        tries = f"{phase.attempts} attempt{'s' if phase.attempts != 1 else ''} on {phase.base}"
        style = {"promoted": "green", "discarded": "red"}.get(phase.outcome, "yellow")
        _line(console, f"{escape(phase.name)}: [{style}]{phase.outcome}[/] after {escape(tries)}")
        if phase.outcome != "promoted":
            for reason in filter(None, phase.detail.split("; ")):
                _line(console, f"  {escape(reason)}")


def show_log(console: Console, entries: Sequence[LogEntry]) -> None:
    """A line for each thing that happened."""
    for entry in entries:
        _line(console, f"[dim]{escape(entry.at)}[/]  {escape(entry.what)}  [dim]{escape(entry.detail)}[/]")


def _table(*columns: str) -> Table:
    """The one look of tables: no vertical lines, figures to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 or column == "gate" else "right")
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _change(value: float | None) -> str:
    if value is None or abs(value) < 5e-4:
        return "[dim]=[/]"
    return f"[{'green' if value > 0 else 'red'}]{value:+.1%}[/]"


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
