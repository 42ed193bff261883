"""`topcoat events ...`: captured usage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from topcoat.cli.console import err, out, print_line
from topcoat.cli.opening import common
from topcoat.errors import InvalidInput
from topcoat.quantity import counted
from topcoat.store.files import json_text

__all__ = ["app"]

app = typer.Typer(help="Captured usage: show, import, export.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


@app.command()
def show(json: Json = False) -> None:
    """What was captured so far, by kind."""
    from topcoat.usage.importing import summarize_events

    found = summarize_events(common.start)
    if json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    print_line(out, f"{counted(found.events, 'event')} in {counted(found.sessions, 'session')}: {escape(found.path)}")
    for kind, count in found.kinds.items():
        print_line(out, f"  {kind}: {count}")
    if found.keeping:
        print_line(out, f"  captured with the results' texts (\\[capture] results): {found.keeping}")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="PATH", help="A file of JSON or JSONL, or a folder of them.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="topcoat, claude-code, qwen-code, gemini-cli, codex, opencode, pydantic-ai, langchain, responses,"
            " chat or otel; by each file's content if not given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Keep what files tell of usage: agents' sessions, logs of requests, chat logs, traces, events."""
    from topcoat.usage.importing import import_events

    done, mistakes = import_events(common.start, source, form)
    if json:
        sys.stdout.write(done.model_dump_json(indent=2) + "\n")
        return
    for mistake in mistakes:
        print_line(err, f"[yellow]left out[/] {escape(f'{mistake.where}: {mistake.message}')}")
    if done.passed:
        named = ", ".join(f"{count} × {name}" for name, count in done.passed.items())
        print_line(err, escape(f"passed over, since no dialogue needs it: {named}"))
    files = f" from {done.files} files" if done.files != 1 else ""
    known = f"{counted(done.new, 'new event')}{files}, {done.known} known, read as {done.format}"
    print_line(out, f"{known}; {len(mistakes)} left out")


@app.command("export")
def export_() -> None:
    """Print every event, one JSON document a line: topcoat events export > FILE."""
    from topcoat.usage.importing import export_events

    sys.stdout.writelines(export_events(common.start))


@app.command()
def outcome(
    how: Annotated[str, typer.Argument(metavar="OUTCOME", help="merged, closed, accepted or rejected.")],
    session: Annotated[str, typer.Option(help="The session that ended so.")] = "",
    branch: Annotated[str, typer.Option(help="Or a branch: all its sessions that haven't ended yet.")] = "",
    json: Json = False,
) -> None:
    """Record how captured work ended."""
    from topcoat.usage.outcomes import record_outcome

    ended = record_outcome(common.start, how, session=session, branch=branch)
    if json:
        sys.stdout.write(json_text({"outcome": how, "sessions": ended}, indent=2) + "\n")
    else:
        print_line(out, f"{how}: {len(ended)} session{'' if len(ended) == 1 else 's'}")


@app.command()
def hook(
    install: Annotated[bool, typer.Option("--install", help="Write the hooks post-commit and post-merge.")] = False,
    repository: Annotated[
        Path, typer.Option("--repo", metavar="DIR", help="The repository, if not this one.")
    ] = Path(),
    run: Annotated[str | None, typer.Option(metavar="HOOK", help="What a hook calls: report what git did.")] = None,
) -> None:
    """Have git report commits and merges to the sessions on their branches."""
    from topcoat.usage.outcomes import install_hooks, run_hook

    if install == (run is not None):
        raise InvalidInput("say what to do", hint="topcoat events hook --install")
    if run is not None:
        for event in run_hook(common.start, run, repository):
            print_line(out, escape(f"{event.kind} on {event.branch}: session {event.session}"))
        return
    for path in install_hooks(common.start, repository):
        print_line(out, f"wrote {escape(str(path))}")
