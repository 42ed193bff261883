"""`topcoat catalog ...`: the tools that the model may call."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from topcoat.cli.console import beside, out, print_line, print_table
from topcoat.cli.opening import common
from topcoat.cli.options import Json, show
from topcoat.errors import InvalidInput
from topcoat.quantity import counted

if TYPE_CHECKING:
    from topcoat.catalogs.check import CatalogCheck
    from topcoat.catalogs.importing import Imported
    from topcoat.catalogs.read_tools import ReadTools
    from topcoat.store.records import Finding

__all__ = ["app"]

app = typer.Typer(help="The tools that the model may call: import, check.", no_args_is_help=True, rich_markup_mode=None)

_MOST_OF_A_CODE = 5
"""Findings shown of one code; the rest are counted."""
_MOST_NAMES = 5


@app.command("import")
def import_(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="An OpenAPI document (JSON), a list of tools as OpenAI, MCP, Anthropic or Gemini write it, "
            "or the URL of an MCP server.",
        ),
    ] = None,
    mcp: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="The command of an MCP server, in quotes, instead of a SOURCE."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The catalog to write: tools.json if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it has other tools.")] = False,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long an MCP server may take.")] = 60.0,
    json: Json = False,
) -> None:
    """Write the tools that exist already as a catalog: tools.json, in OpenAI's form.

    MCP servers need the extra: pip install "topcoat[mcp]". A server at a URL gets TOPCOAT_MCP_KEY as its bearer token.
    """
    from topcoat.catalogs.importing import import_tools

    if (source is None) == (mcp is None):
        message = "the tools come from one place: a SOURCE, or the server of --mcp"
        raise InvalidInput(message, hint="topcoat catalog import openapi.json")
    target = to or common.start / "tools.json"
    words = ["topcoat", "catalog", "import", *([source] if source else ["--mcp", mcp or ""])]
    again = shlex.join([*words, "--to", str(target), "--overwrite"])
    done = import_tools(_read(source, mcp, timeout), target, overwrite=overwrite, again=again)
    show(done, json, lambda: _show_import(done, target))


def _read(source: str | None, mcp: str | None, timeout: float) -> ReadTools:
    from topcoat.catalogs.importing import is_url, read_file
    from topcoat.catalogs.mcp_server import KEY_VARIABLE, read_mcp_command, read_mcp_url

    address = mcp or source or ""
    if is_url(address):
        return read_mcp_url(address, timeout, os.environ.get(KEY_VARIABLE, ""))
    if mcp is not None:
        return read_mcp_command(mcp, timeout)
    program = address.partition(" ")[0]
    if program != address and not Path(address).exists() and shutil.which(program):
        hint = f"topcoat catalog import --mcp {shlex.quote(address)}"
        raise InvalidInput(f"{address} is a command, not a file", hint=hint)
    return read_file(Path(address))


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A catalog; the project's if not given.")] = None,
    json: Json = False,
) -> None:
    """The tools of a catalog with their parameters, and what is wrong with them.

    Exit code 2 if a tool can't be used as it is written.
    """
    from topcoat.catalogs.check import check_catalog

    found = _checked_project() if file is None else check_catalog(file)
    show(found, json, lambda: _show_check(found))
    if found.errors:
        raise typer.Exit(InvalidInput.exit_code)


def _checked_project() -> CatalogCheck:
    from topcoat.catalogs.check import check_catalog
    from topcoat.spec.project import find_project, load_settings

    settings = load_settings(find_project(common.start))
    return check_catalog(settings.catalog, settings.spec.project.calls)


def _show_import(done: Imported, target: Path) -> None:
    console = beside(target)
    what = "" if done.written else ", which are there already: nothing was written"
    print_line(console, f"{escape(done.path)}: {counted(len(done.tools), 'tool')}, read as {escape(done.form)}{what}")
    changes = {"added": done.added, "removed": done.removed, "changed": done.changed}
    if len(done.added) < len(done.tools) or done.removed:
        for word, names in changes.items():
            if names:
                print_line(console, f"  {word}: {escape(_names(names))}")
    for told in done.left_out:
        print_line(console, f"  [yellow]left out[/] {escape(told.what)}: {escape(_names(told.names))}")
    for told in done.notes:
        print_line(console, f"  {escape(told.what)}: {escape(_names(told.names))}")
    print_line(console, f"next: topcoat catalog check {escape(shlex.quote(done.path))}")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more (--json)" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _show_check(found: CatalogCheck) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("tool", no_wrap=True)
    table.add_column("parameters")
    if found.calls == "native":
        table.add_column("about tokens", justify="right")
    for tool in found.tools:
        tokens = [str(tool.tokens)] if found.calls == "native" else []
        table.add_row(escape(tool.name), escape("\n".join(tool.parameters) or "none"), *tokens)
    if found.tools:
        print_table(out, table)
    total = sum(tool.tokens for tool in found.tools)
    native = found.calls == "native"
    how = f"about {total} tokens in every prompt" if native else "called from programs (Code Mode)"
    print_line(out, f"{escape(found.path)}: {counted(len(found.tools), 'tool')}, {how}")
    by_code: dict[str, list[Finding]] = {}
    for finding in found.findings:
        by_code.setdefault(finding.code, []).append(finding)
    for code, same in by_code.items():
        _show_findings(code, same)
    warnings = len(found.findings) - len(found.errors)
    counts = f"{counted(len(found.errors), 'error')}, {counted(warnings, 'warning')}"
    print_line(out, f"[{'red' if found.errors else 'green'}]{counts}[/]")


def _show_findings(code: str, same: list[Finding]) -> None:
    """The findings of one code, the first few with their places and hints."""
    from topcoat.catalogs.check import CODES

    severity = same[0].severity
    style = "bold red" if severity == "error" else "yellow"
    print_line(out, f"[{style}]{severity}[/] [bold]{code}[/]: {escape(CODES[code])} ({len(same)})")
    for finding in same[:_MOST_OF_A_CODE]:
        print_line(out, f"  {escape(finding.where)}: {escape(finding.message)}")
    if len(same) > _MOST_OF_A_CODE:
        print_line(out, f"  [dim]and {len(same) - _MOST_OF_A_CODE} more: `topcoat catalog check --json`[/]")
    print_line(out, f"  [cyan]hint:[/] {escape(same[0].hint)}")
