"""The command line: its errors and exit codes, what stands before every command, and the list of the commands."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from topcoat.cli.commands import catalog, data, events, export, models, phases, suite, usage
from topcoat.cli.commands.doctor import doctor
from topcoat.cli.commands.serve import serve
from topcoat.cli.commands.studio import studio
from topcoat.cli.console import err, print_line
from topcoat.cli.opening import common
from topcoat.errors import StorageFault, TopcoatError, Where

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

INTERRUPTED = 130
"""The exit code that shells give a command ended by Ctrl-C."""

_GOES_ON = "what was finished is kept, and the same command goes on from there"
_AFTER_INTERRUPTION = {
    **dict.fromkeys(("run", "demo", "cycle"), _GOES_ON),
    "eval": "the answers so far are not kept: the same command asks every case again",
    "review": "what was decided is kept",
}
"""What an interrupted command leaves behind, where there is more to say than to run it again."""


class Commands(TyperGroup):
    """Ends every error that topcoat raises on purpose in its message and its exit code."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own Context class
        try:
            return super().invoke(ctx)
        except TopcoatError as error:
            raise _ended(error) from error
        except BrokenPipeError:
            raise  # the reader of our output has gone; the interpreter ends quietly
        except OSError as error:
            where = Where(Path(error.filename)) if isinstance(error.filename, str) else None
            raise _ended(StorageFault(f"the system refused: {error.strerror or error}", where=where)) from error
        except KeyboardInterrupt:
            kept = _AFTER_INTERRUPTION.get(ctx.invoked_subcommand or "", "run the same command again")
            print_line(err, f"interrupted; {kept}")
            raise typer.Exit(INTERRUPTED) from None


def _ended(error: TopcoatError) -> typer.Exit:
    from topcoat.cli.display import show_error

    show_error(err, error)
    return typer.Exit(error.exit_code)


app = typer.Typer(
    name="topcoat",
    cls=Commands,
    help="Improve a local tool-calling model in thin, measured coats.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},  # commands inherit them
)
app.add_typer(catalog.app, name="catalog")
app.add_typer(data.app, name="data")
app.add_typer(events.app, name="events")
app.add_typer(suite.app, name="suite")
app.command()(serve)
app.command()(studio)


def _print_version(asked: bool) -> None:
    if asked:
        from topcoat import __version__

        typer.echo(f"topcoat {__version__}")
        raise typer.Exit


@app.callback()
def before_the_command(
    project: Annotated[
        Path, typer.Option("--project", metavar="DIR", help="A folder in the project, if not this one.")
    ] = Path(),
    engine: Annotated[str, typer.Option(help="mlx, or fake: for trying a workflow without a model.")] = "mlx",
    compute: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="dequantized: in float32; or as-stored: quantized, in the model's own 16 bits. "
            "[default: TOPCOAT_COMPUTE, or dequantized on a CPU and as-stored on a GPU]",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    from topcoat.engine.registry import engine_named

    engine_named(engine)  # an unknown one is refused before the command begins
    if compute:
        from topcoat.engine.mlx.compute import COMPUTE_VARIABLE, chosen_compute

        # The environment takes it along to the processes that a command starts.
        os.environ[COMPUTE_VARIABLE] = chosen_compute(compute, on_cpu=True)
    common.start, common.engine = project, engine


app.command()(phases.demo)
app.command()(phases.init)
app.command()(phases.check)
app.command("eval")(models.evaluate)
app.command()(phases.plan)
app.command()(usage.extract)
app.command()(usage.review)
app.command()(usage.cycle)
app.command()(phases.run)
app.command()(models.status)
app.command()(models.log)
app.command()(models.compare)
app.command()(phases.report)
app.command()(models.promote)
app.command()(models.discard)
app.command()(models.rollback)
app.command()(phases.adopt)
app.command()(models.rebuild)
app.command()(models.gc)
app.command()(export.export)
app.command()(export.card)
app.command()(export.push)
app.command()(doctor)


def main() -> None:
    """Run the command line. What the terminal's encoding doesn't have is shown as "?"."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    from topcoat.engine.mlx.ranks.launch import launched_rank

    if launched_rank():  # rank 0 runs the command; the others take part in what it computes
        from topcoat.engine.mlx.worker import main as work

        return work()
    app(prog_name="topcoat")  # also for `python -m topcoat`, whose name no shell can complete
