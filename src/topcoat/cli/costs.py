"""What a phase takes, as lines: its rows and updates, time, memory, disk and guard cases."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.markup import escape

from topcoat.cli.console import print_line
from topcoat.quantity import counted
from topcoat.store.records import Budget, Estimate, GuardCost, RowCost

__all__ = ["duration", "show_budget", "show_estimate"]


def show_budget(console: Console, budget: Budget) -> None:
    """What there is to train on, and what training amounts to."""
    worth = "" if budget.effective is None else f", worth {budget.effective:.1f} of evenly used templates"
    run = f"; code of {budget.programs_run} of {counted(budget.programs, 'different program')} was run"
    run = run if budget.programs else ""
    print_line(
        console,
        f"{counted(budget.examples, 'example')} to train on, {budget.valid} held out{worth}; "
        f"{budget.replay_pool} to replay from{run}",
    )
    print_line(
        console,
        f"{counted(budget.iterations, 'iteration')} = {counted(budget.updates, 'update')} = "
        f"{budget.passes:.2f} passes; {counted(budget.replayed, 'row')} replayed; "
        f"{counted(budget.trained_tokens, 'token')} trained; longest row {counted(budget.longest, 'token')}",
    )


def show_estimate(console: Console, estimate: Estimate) -> None:
    """What one attempt will take, as measured on this machine."""
    if estimate.seconds is not None:
        seconds = estimate.evaluation_seconds
        evaluation = "not evaluated yet" if seconds is None else f"an evaluation took {duration(seconds)}"
        memory = f"{estimate.memory / 1e9:.2f} GB of memory, " if estimate.memory else ""
        print_line(
            console,
            f"an attempt, from a few updates measured here: {duration(estimate.seconds)} to train ({evaluation}), "
            f"{memory}{estimate.disk / 1e6:.0f} MB of disk",
        )
    row = estimate.row
    if row is not None and row.kept is not None and row.recomputed is not None:
        print_line(
            console,
            f"the longest row, of {counted(row.tokens, 'token')}: {_memory(row, 'recomputed')} with grad_checkpoint, "
            f"{_memory(row, 'kept')} without",
        )
    if estimate.guard is not None:
        _show_guard(console, estimate.guard)
    if not estimate.fits:
        print_line(
            console,
            f"[bold red]error[/]: it does not fit: there are {(estimate.memory_limit or 0) / 1e9:.2f} GB of memory",
        )
        print_line(console, f"  [cyan]hint:[/] {escape(_ways_to_fit(estimate))}")


def _memory(row: RowCost, setting: Literal["kept", "recomputed"]) -> str:
    bytes_ = (row.kept if setting == "kept" else row.recomputed) or 0
    return f"{'' if setting in row.measured else 'about '}{bytes_ / 1e9:.2f} GB of memory"


def _ways_to_fit(estimate: Estimate) -> str:
    """What makes a phase fit: first what changes nothing that is learned."""
    row, least = estimate.row, "a lower batch_size or num_layers, or a lower max_seq_length, at which dialogues are cut"
    if row is not None and row.recomputed is not None and row.recomputed >= estimate.memory:
        return least
    if row is not None and row.recomputed is not None and row.recomputed <= (estimate.memory_limit or 0):
        return "grad_checkpoint = true under [train]"
    return f"grad_checkpoint = true under [train], {least}"


def _show_guard(console: Console, guard: GuardCost) -> None:
    """How many guard cases decide, what asking them takes, and which categories have too few."""
    first, most = (sum(min(made, count) for made in guard.drawn.values()) for count in (guard.first, guard.most))
    seconds = guard.seconds_each
    one, other = ("", "") if seconds is None else (f" ({_about(first * seconds)})", f" ({_about(most * seconds)})")
    print_line(console, f"guard cases, for base and coat: {first:,} at the first look{one}, at most {most:,}{other}")
    if guard.reworded:
        asked = min(guard.reworded, guard.first) * len(guard.drawn)
        print_line(console, f"  the base is asked to say up to {counted(asked, 'case')} in other words")
    for category, made in guard.drawn.items():
        if made < guard.needed:
            print_line(
                console,
                f"  {escape(category)}: {counted(made, 'guard case')} can be made, {guard.needed} are needed: its mean "
                "on the suite decides",
            )


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}"


def duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
