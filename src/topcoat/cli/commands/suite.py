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
from topcoat.errors import InvalidInput
from topcoat.examples.checks.codes import CODES
from topcoat.quantity import counted

if TYPE_CHECKING:
    from topcoat.suites.expansion.suite_file import ExpandedSuite

__all__ = ["app"]

app = typer.Typer(help="The cases that models are evaluated on.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def suite() -> None:
    """Keeps `expand` a command of its own, though it is the only one."""


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
