"""`topcoat studio`: the project's pages, for a browser on this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Annotated

import typer
from rich.markup import escape

from topcoat.cli.console import out, print_line
from topcoat.cli.opening import common

__all__ = ["studio"]


def studio(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for a free one.")] = 8090,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """The project in a browser: lineage, phases, scores, answers, sessions; review examples, run phases, promote.

    It listens on this machine alone, and the link that it prints opens it. Ctrl-C ends it; a phase that it started
    goes on.
    """
    from topcoat.studio.server import serve

    def announce(link: str) -> None:
        print_line(out, f"studio: {escape(link)}")
        print_line(out, "Ctrl-C ends it")
        if open_browser:
            webbrowser.open(link)

    serve(common.start, port, _command(), announce)


def _command() -> tuple[str, ...]:
    """What starts topcoat again, with the same options before the command."""
    return (sys.executable, "-m", "topcoat", "--project", os.fspath(common.start.absolute()), "--engine", common.engine)
