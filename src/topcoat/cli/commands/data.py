"""`topcoat data ...`: files of examples."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from topcoat.cli.console import beside, err, out, print_line
from topcoat.cli.editor import edit
from topcoat.cli.opening import common, lock_project, open_session
from topcoat.errors import InvalidInput, Refused, Where
from topcoat.quantity import counted
from topcoat.store.files import is_stream

if TYPE_CHECKING:
    from topcoat.examples.stats import DataStats
    from topcoat.store.records import Finding

__all__ = ["app"]

app = typer.Typer(help="Files of examples: import, sum up, write.", no_args_is_help=True, rich_markup_mode=None)

_MOST_LINES = 100
"""Lines that `data import` names where it leaves some out."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="JSONL, one JSON list, Parquet, a folder of save_to_disk, or hf:OWNER/NAME[:[CONFIG/]SPLIT].",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file of examples to write.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="chat (mlx-lm), openai, anthropic, sharegpt, swift, hermes, toolace, button, when2call, xlam, glaive, "
            "completions, alpaca; else by the keys.",
        ),
    ] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Write the lines that can be read, and name the others.")
    ] = False,
    json: Json = False,
) -> None:
    """Turn dialogues in another format into examples.

    Data sets of Hugging Face, here or on the hub, need the extra: pip install "topcoat[datasets]".
    """
    from topcoat.examples.importing import import_examples
    from topcoat.spec.project import calls_around

    if not err.is_terminal:
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    done = import_examples(source, to, form, calls=calls_around(common.start), leave_out=leave_out)
    if json:
        sys.stdout.write(done.model_dump_json(indent=2) + "\n")
        return
    print_line(beside(to), f"{escape(str(done.path))}: {counted(done.examples, 'example')}, read as {done.format}")
    for note in done.notes:
        print_line(beside(to), f"  {escape(note)}")
    if done.left_out:
        print_line(err, f"[yellow]{counted(len(done.left_out), 'line')} left out[/]")
    for line in done.left_out[:_MOST_LINES]:
        print_line(err, f"  {escape(line)}")
    if len(done.left_out) > _MOST_LINES:
        print_line(err, f"  ... and {len(done.left_out) - _MOST_LINES} more; --json names them all")


@app.command()
def replay(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file of examples to write.")],
    each: Annotated[int, typer.Option(min=1, help="How often each tool is asked for.")] = 8,
    json: Json = False,
) -> None:
    """Examples of what the base knows, in its own words: for replay where its earlier data is lost."""
    from topcoat.examples.replaying import replay_from_base

    with open_session("data replay") as session:
        done = replay_from_base(session, to.absolute(), each)
        root = session.paths.root
    if json:
        sys.stdout.write(done.model_dump_json(indent=2) + "\n")
        return
    print_line(beside(to), f"{escape(str(to))}: {done.kept} of {done.asked} answers of {escape(done.model)} kept")
    for tool, reason in done.left_out.items():
        print_line(err, f"[yellow]not asked for {escape(tool)}[/]: no arguments can be made up ({escape(reason)})")
    if not is_stream(to):
        path = Path(done.path)
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        print_line(out, f'[cyan]hint:[/] history = ["{escape(str(shown))}"] under \\[project] in topcoat.toml')


@app.command()
def stats(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files of examples.")], json: Json = False
) -> None:
    """How many examples there are, of what, and how many different ones they are worth."""
    from topcoat.examples.files import stats_of_files

    found = stats_of_files(files)
    if json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    else:
        _show_stats(found)


@app.command()
def new(
    category: Annotated[str, typer.Option(help="A category of the suite.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to add it: data/new.jsonl if not given.")
    ] = None,
) -> None:
    """Write one example in $EDITOR; it is checked when saved."""
    from topcoat.examples.files import begin_draft, finish_draft

    again = f"topcoat data new --category {shlex.quote(category)}" + (f" --to {shlex.quote(str(to))}" if to else "")
    with lock_project("data new") as project:
        draft = begin_draft(project, category, to)
    edit(draft.path, again)  # without the lock, which a user at an editor could hold for hours
    try:
        with lock_project("data new") as project:
            found = finish_draft(project, draft)
    except Refused as held:
        raise Refused(f"{held.message}; the draft is kept", where=Where(draft.path), hint=held.hint) from held
    for finding in found:
        _show_finding(finding)
    if any(finding.severity == "error" for finding in found):
        raise InvalidInput(
            "the example was not added; the draft is kept",
            where=Where(draft.path),
            hint=again,
        )
    print_line(out, f"added to {escape(str(draft.target))}")


def _show_finding(finding: Finding) -> None:
    style = "bold red" if finding.severity == "error" else "yellow"
    print_line(err, f"[{style}]{finding.severity}[/] [bold]{finding.code}[/]: {escape(finding.message)}")
    print_line(err, f"  [cyan]hint:[/] {escape(finding.hint)}")


def _show_stats(found: DataStats) -> None:
    unreadable = f", {counted(found.unreadable, 'line')} that can't be read" if found.unreadable else ""
    examples = f"{counted(found.examples, 'example')}{unreadable}, {counted(found.turns, 'turn')}"
    templates = counted(found.templates, "template")
    print_line(out, f"{examples}; {found.calling} call a tool")
    print_line(out, f"{templates}; worth {found.effective:.1f} examples of evenly used templates")
    print_line(out, f"{counted(found.duplicates, 'duplicate')}, {counted(found.near_duplicates, 'near-duplicate')}")
    print_line(out, f"the longest has {found.longest} characters")
    for name, count in sorted(found.categories.items(), key=lambda item: -item[1]):
        print_line(out, f"  {escape(name) or 'without a category'}: {count}")
