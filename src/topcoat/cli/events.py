"""`topcoat events ...`: captured usage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from topcoat.cli.console import err, out, print_line

__all__ = ["app"]

app = typer.Typer(help="Captured usage: show, import, export.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


@app.command()
def show(json: Json = False) -> None:
    """What was captured so far, by kind."""
    from topcoat.workflow.events import summarize_events

    found = summarize_events(_start())
    if json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    print_line(out, f"{found.events} events in {found.sessions} sessions: {escape(found.path)}")
    for kind, count in found.kinds.items():
        print_line(out, f"  {kind}: {count}")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL.")],
    json: Json = False,
) -> None:
    """Keep the events of a file; those that are here already aren't kept twice."""
    from topcoat.workflow.events import import_events

    done, mistakes = import_events(_start(), source)
    if json:
        sys.stdout.write(done.model_dump_json(indent=2) + "\n")
        return
    for mistake in mistakes:
        print_line(err, f"[yellow]left out[/] {escape(f'{mistake.where}: {mistake.message}')}")
    print_line(out, f"{done.new} new events, {done.known} known ones, read as {done.format}; {len(mistakes)} left out")


@app.command("export")
def export_(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The JSONL file to write.")],
    json: Json = False,
) -> None:
    """Write every event to a file, one a line."""
    from topcoat.workflow.events import export_events

    count = export_events(_start(), target)
    if json:
        sys.stdout.write(f'{{"events": {count}}}\n')
    else:
        print_line(out, f"{escape(str(target))}: {count} events")


def _start() -> Path:
    """The folder that --project named."""
    from topcoat.cli.main import common

    return common.start
