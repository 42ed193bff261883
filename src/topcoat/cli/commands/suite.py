"""`topcoat suite ...`: the cases that models are evaluated on."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from topcoat.cli.console import beside, print_line
from topcoat.cli.opening import lock_project
from topcoat.cli.options import Json, show
from topcoat.errors import InvalidInput
from topcoat.examples.checks.codes import CODES
from topcoat.quantity import counted

if TYPE_CHECKING:
    from topcoat.suites.bfcl.importing import ImportedSuite
    from topcoat.suites.expansion.suite_file import ExpandedSuite

__all__ = ["app"]

app = typer.Typer(help="The cases that models are evaluated on.", no_args_is_help=True, rich_markup_mode=None)

public = typer.Typer(help="Public benchmarks as suites.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(public, name="import")

_SHOWN_IDS = 3
"""Cases that a line about many of them names."""


@public.callback()
def import_() -> None:
    """Public benchmarks as suites."""


@public.command()
def bfcl(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="SOURCE", help="The package's folder or its wheel; else the installed bfcl-eval."),
    ] = None,
    categories: Annotated[
        str | None, typer.Option("--categories", metavar="NAMES", help="Only these, as simple,multiple,parallel.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The suite to write.")] = Path("suites/bfcl.jsonl"),
    json: Json = False,
) -> None:
    """The Berkeley Function Calling Leaderboard.

    Its files are in the package bfcl-eval: pip install --no-deps bfcl-eval. Its cases bring their own tools, for a
    project that calls tools natively. Multi-turn categories, which become episodes, run the package's code: name them
    with --categories. See docs/suites.md.
    """
    from topcoat.suites.bfcl.importing import import_bfcl

    names = [name.strip() for name in categories.split(",")] if categories is not None else []
    done = import_bfcl(source, to, names)
    show(done, json, lambda: _show_import(beside(to), done))


def _show_import(console: Console, done: ImportedSuite) -> None:
    families = counted(done.families, "set") + " of tools"
    print_line(console, f"{escape(done.path)}: {counted(sum(done.cases.values()), 'case')} with {families}")
    for category, count in done.cases.items():
        print_line(console, f"  {escape(category)}: {count}")
    if done.simulator:
        print_line(
            console, f"{escape(done.simulator)}: answers the episodes' calls with the systems of {escape(done.source)}"
        )
    if done.beyond_schema:
        cases = counted(len(done.beyond_schema), "case")
        print_line(console, f"{cases} with right answers that the schema of the case's own tool forbids")
    for (category, reason), ids in _by_reason(done).items():
        named = ", ".join(ids[:_SHOWN_IDS]) + (", ..." if len(ids) > _SHOWN_IDS else "")
        places = f"{len(ids)} of {escape(category)}: {escape(reason)} ({escape(named)})"
        print_line(console, f"[yellow]left out[/] {places}")
    for unread in done.unread:
        lines = counted(unread.lines, "line")
        print_line(console, f"[yellow]not read[/] {escape(unread.category)} ({lines}): {escape(unread.reason)}")
    settings = f'catalog = "FILE.json" and suite = "{done.path}" under [project]: its calls are native'
    print_line(console, f"[cyan]hint:[/] {escape(settings)}")


def _by_reason(done: ImportedSuite) -> dict[tuple[str, str], list[str]]:
    """The ids that were left out, by category and reason."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for left in done.left_out:
        by_reason.setdefault((left.category, left.reason), []).append(left.id)
    return by_reason


@app.command()
def expand(
    templates: Annotated[Path, typer.Argument(metavar="TEMPLATES", help="A TOML file: docs/suites.md.")],
    cases: Annotated[int, typer.Option(min=1, help="How many cases a category gets.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other names.")] = 0,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="The suite to write.")] = None,
    reserve: Annotated[
        bool, typer.Option("--reserve", help="Make them reserve cases of the project's suite instead.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE, or the reserve made before.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")] = False,
) -> None:
    """Cases from templates, with names that stand in no training data and in no case of the suite.

    Equal templates, seed and data give equal cases; more cases begin with the same ones.
    """
    from topcoat.suites.expansion.suite_file import expand_suite

    if (to is None) != reserve:
        message = "the cases need one place: a suite, or the reserve of the project's"
        raise InvalidInput(message, hint=f"topcoat suite expand '{templates}' --to suites/expanded.jsonl")
    with lock_project("suite expand") as project:
        done = expand_suite(project, templates, cases, seed, to=to, overwrite=overwrite)
    if json:
        sys.stdout.write(done.model_dump_json(indent=2) + "\n")
    else:
        _show(beside(to), done)


def _show(console: Console, done: ExpandedSuite) -> None:
    kind = "reserve case" if done.reserve else "case"
    print_line(
        console,
        f"{escape(done.path)}: {counted(sum(done.cases.values()), kind)} of {counted(done.families, 'template')}, "
        f"checked against {counted(done.examples, 'example')}",
    )
    for category, count in done.cases.items():
        print_line(console, f"  {escape(category)}: {count}")
    for name, known in done.trained_names.items():
        print_line(
            console,
            f"[yellow]left out[/] of the names of {escape(name)}, for training has them: {escape(', '.join(known))}",
        )
    reasons = Counter((left.template, left.code, left.where) for left in done.left_out)
    for (template, code, where), count in reasons.most_common():
        words = CODES.get(code, "the suite asks it already")
        print_line(
            console, f"[yellow]left out[/] {count} of {escape(template)}: {code}, {escape(words)} ({escape(where)})"
        )
