"""`topcoat doctor`: whether a project is whole, and what helps if it isn't."""

from __future__ import annotations

from typing import Annotated

import typer

from topcoat.cli.console import err, out
from topcoat.cli.opening import common
from topcoat.cli.options import Json, show

__all__ = ["doctor"]


def doctor(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make a lost or damaged lineage again from the folders of the runs.")
    ] = False,
    json: Json = False,
) -> None:
    """Check everything that topcoat stored in the project, and say what helps. Changes nothing without --rebuild.

    Exit code 1 if something is damaged or lost.
    """
    from topcoat.cli.display import show_examination
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.doctor.examine import examine
    from topcoat.doctor.recover import recover_lineage
    from topcoat.engine.registry import engine_named
    from topcoat.spec.project import find_project, load_settings
    from topcoat.store.lock import project_lock
    from topcoat.store.paths import ProjectPaths

    paths = ProjectPaths(find_project(common.start))
    with terminal_sink(err) as sink:
        engine = engine_named(common.engine).open(sink)
        recovery = None
        if rebuild:
            with project_lock(paths.lock, "topcoat doctor --rebuild"):
                recovery = recover_lineage(paths, load_settings(paths.root), engine)
        found = examine(paths, engine, sink).model_copy(update={"recovery": recovery})
    show(found, json, lambda: show_examination(out, found))
    if found.errors:
        raise typer.Exit(1)
