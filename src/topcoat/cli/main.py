"""The commands. Each parses its arguments, calls one use case and displays what it returns."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from topcoat.cli import data, events, suite
from topcoat.cli.console import beside, err, out, print_line
from topcoat.cli.opening import common, open_project, open_session
from topcoat.cli.serve import serve
from topcoat.errors import GateRefused, InvalidInput, StorageFault, TopcoatError, Where
from topcoat.quantity import counted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from topcoat.phases.run import PhaseOutcome
    from topcoat.project.project import Project
    from topcoat.store.records import EvalResult

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
app.add_typer(data.app, name="data")
app.add_typer(events.app, name="events")
app.add_typer(suite.app, name="suite")
app.command()(serve)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
PhaseArgument = Annotated[str, typer.Argument(metavar="PHASE", help="A phase's name, or its file.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", metavar="CODE", help="Let findings of this code through.")]

HeldOut = Annotated[float, typer.Option(help="The share of sessions that become evaluation cases, never training.")]


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


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the project.")] = Path("topcoat-demo"),
    json: Json = False,
) -> None:
    """The embedded project: phase 34a from start to verdict."""
    from topcoat.project.starting import DEMO_PHASE, copy_demo

    if copy_demo(folder):
        err.print(f"copied the embedded project to {folder}", highlight=False)
    _run(folder, DEMO_PHASE, json)


@app.command()
def init(
    base: Annotated[str, typer.Option(help="The model to improve: a folder, or a Hugging Face id.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR")] = Path(),
) -> None:
    """Start a project around a model."""
    from topcoat.project.starting import init_project

    for path in init_project(folder, base):
        out.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    out.print("next: put your tools into tools.pyi, your cases into suites/, then: topcoat eval", highlight=False)


@app.command()
def check(
    phase: PhaseArgument,
    allow: Allow = None,
    measure: Annotated[bool, typer.Option(help="Train a few updates to say what the phase will take.")] = True,
    json: Json = False,
) -> None:
    """Everything that can be known about a phase before anything is spent on it."""
    from topcoat.cli.display import show_check
    from topcoat.phases.estimation import estimate
    from topcoat.phases.preparation import prepare

    with open_session("check") as session:
        prepared = prepare(session, _phase_path(session, phase), allow=_codes(allow))
        report = prepared.report
        if measure and not report.errors:
            report = report.model_copy(update={"estimate": estimate(session, prepared)})
    _show(report, json, lambda: show_check(out, report))
    if report.errors or (report.estimate and not report.estimate.fits):
        raise typer.Exit(InvalidInput.exit_code)


@app.command("eval")
def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A model of this project, or a folder.", show_default="production"),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask a server instead, by OpenAI's chat completions.")
    ] = None,
    served: Annotated[str | None, typer.Option("--model", metavar="NAME", help="What the server calls it.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests to the server at a time.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the server has for an answer.")] = 120.0,
    json: Json = False,
) -> None:
    """Evaluate a model on the project's suite, by category.

    A server that wants an API key gets the one in TOPCOAT_API_KEY. Cases that it leaves unanswered have no score; more
    of them than max_errors (in topcoat.toml, [eval]) void the evaluation.
    """
    from topcoat.cli.display import show_evaluation

    if endpoint is not None:
        if model is not None:
            raise InvalidInput("--endpoint names the model with --model", hint=f"--endpoint {endpoint} --model {model}")
        if served is None:
            raise InvalidInput(
                "--endpoint needs the model's name on the server", hint=f"--endpoint {endpoint} --model NAME"
            )
        result = _evaluate_endpoint(endpoint, served, concurrency, timeout)
    elif served is not None:
        raise InvalidInput("--model names a model on a server", hint="--endpoint URL --model NAME")
    else:
        result = _evaluate_model(model or "production")
    _show(result, json, lambda: show_evaluation(out, result))


def _evaluate_model(model: str) -> EvalResult:
    """A model of the lineage; a folder if none is called so."""
    from topcoat.phases.evaluation import evaluate_folder, evaluate_model

    with open_session(f"eval {model}") as session:
        known = model == "production" or session.lineage.model(model) is not None
        if not known and Path(model).is_dir():
            return evaluate_folder(session, Path(model).absolute())
        return evaluate_model(session, session.model(model))


def _evaluate_endpoint(url: str, model: str, concurrency: int, timeout: float) -> EvalResult:
    """The project isn't locked, and no engine is loaded."""
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.phases.evaluation import evaluate_endpoint
    from topcoat.suites.endpoint import KEY_VARIABLE, Endpoint

    with terminal_sink(err) as sink, open_project() as project:
        endpoint = Endpoint(
            url,
            model,
            key=os.environ.get(KEY_VARIABLE, ""),
            concurrency=concurrency,
            timeout=timeout,
            max_errors=project.settings.spec.eval.max_errors,
        )
        return evaluate_endpoint(project, endpoint, sink)


@app.command()
def plan(
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The phase file to write, if it isn't there.")
    ] = None,
    goal: Annotated[float, typer.Option(help="The score below which a category is weak.")] = 0.9,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="CATEGORY[=SCORE]", help="Work on this category, and on no others that aren't named."),
    ] = None,
    examples: Annotated[int, typer.Option(help="How many examples to write in all.")] = 80,
    json: Json = False,
) -> None:
    """The weak categories of the last evaluation, what they need, and the next phase."""
    from topcoat.cli.display import show_plan
    from topcoat.phases.planning import plan_phase, require_phase_file, write_plan

    if write is not None:
        require_phase_file(write)
    with open_session("plan") as session:
        name = write.stem if write else "next"
        found = plan_phase(session, name=name, goal=goal, examples=examples, targets=_targets(target))
        if write is not None:
            write_plan(found, write)
    _show(found, json, lambda: show_plan(beside(write), found, write))


@app.command()
def extract(
    phase: Annotated[str, typer.Option(metavar="NAME", help="The phase whose quota is to be filled.")],
    held_out: HeldOut = 0.2,
    overwrite: Annotated[bool, typer.Option(help="Write also over files that were edited.")] = False,
    json: Json = False,
) -> None:
    """The examples in captured usage that a phase asks for: data/NAME.jsonl, checked, each with where it comes from.

    A share of the sessions becomes evaluation cases instead, in suites/captured.jsonl; put them into the suite.
    """
    from topcoat.cli.usage import show_extraction
    from topcoat.spec.phase import load_phase
    from topcoat.usage.extraction.extract import extract_examples

    with open_session("extract") as session:
        path = _phase_path(session, phase)
        quota = load_phase(path).data.quota
        found = extract_examples(session, path.stem, quota, held_out=held_out, overwrite=overwrite)
    _show(found, json, lambda: show_extraction(out, found))


@app.command()
def review(
    phase: Annotated[str, typer.Option(metavar="NAME", help="The phase whose extracted examples are looked at.")],
    accept_above: Annotated[
        float | None, typer.Option(metavar="SCORE", help="Accept those with a higher score unseen.")
    ] = None,
    json: Json = False,
) -> None:
    """Accept, reject or edit extracted examples, one by one; what was decided is never asked again."""
    from topcoat.cli.review import review_examples

    with open_project() as project:
        done, left = review_examples(project.paths, phase, accept_above)
    if json:
        _print_json({"version": 1, "decided": done, "left": left})
    else:
        out.print(f"{counted(done, 'example')} decided on, {left} left", highlight=False)


@app.command()
def cycle(
    goal: Annotated[float, typer.Option(help="The score below which a category is weak.")] = 0.9,
    held_out: HeldOut = 0.2,
    review: Annotated[bool, typer.Option(help="Stop before the run; the next cycle goes on with it.")] = False,
    json: Json = False,
) -> None:
    """Evaluate, plan, extract, run: captured usage becomes the next model, if there is enough and the gate agrees."""
    from topcoat.cli.usage import show_extraction
    from topcoat.usage.cycle import turn_cycle

    with open_session("cycle") as session:
        done = turn_cycle(session, goal=goal, held_out=held_out, review=review)
    if json:
        extraction = None if done.extraction is None else done.extraction.model_dump(mode="json")
        told = {"version": 1, "phase": done.phase, "stopped": done.stopped, "extraction": extraction}
        _print_json(told if done.outcome is None else told | _as_document(done.outcome))
    else:
        if done.extraction is not None:
            show_extraction(out, done.extraction)
        if done.outcome is not None:
            _show_outcome(done.outcome, json=False)
        else:
            out.print(f"stopped: {done.stopped}", highlight=False, markup=False, soft_wrap=True)
    if done.outcome is not None:
        _end_as(done.outcome)


@app.command()
def run(
    phase: PhaseArgument,
    allow: Allow = None,
    restart: Annotated[
        bool, typer.Option(help="Give up a run of this phase that was begun with other inputs.")
    ] = False,
    json: Json = False,
) -> None:
    """Check, train, fuse, evaluate, judge; promote, or discard and try again at a lower rate."""
    _run(common.start, phase, json, allow=_codes(allow), restart=restart)


@app.command()
def status(json: Json = False) -> None:
    """Production, the models and their scores, the phases."""
    from topcoat.cli.display import show_status
    from topcoat.phases.history import project_status

    with open_project() as project:
        found = project_status(project)
    _show(found, json, lambda: show_status(out, found))


@app.command()
def log(json: Json = False) -> None:
    """Everything that happened in this project, oldest first."""
    from topcoat.cli.display import show_log
    from topcoat.phases.history import history

    with open_project() as project:
        entries = history(project.lineage)
    if json:
        _print_json([entry.model_dump(mode="json") for entry in entries])
    else:
        show_log(out, entries)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="A")],
    after: Annotated[str, typer.Argument(metavar="B")] = "production",
    json: Json = False,
) -> None:
    """Two models side by side: categories, and every case that changed."""
    from topcoat.cli.display import show_comparison
    from topcoat.phases.evaluation import compare_models

    with open_session(f"compare {before} {after}") as session:
        comparison = compare_models(session, session.model(before), session.model(after))
    _show(comparison, json, lambda: show_comparison(out, comparison))


@app.command()
def report(phase: PhaseArgument, json: Json = False) -> None:
    """Write a phase's HTML page and say where it is."""
    from topcoat.phases.run import write_report

    with open_project() as project:
        path = write_report(project, Path(phase).stem if phase.endswith(".toml") else phase)
    if json:
        _print_json({"report": str(path)})
    else:
        out.print(str(path), highlight=False, markup=False, soft_wrap=True)


@app.command()
def promote(model: Annotated[str, typer.Argument(metavar="MODEL")], json: Json = False) -> None:
    """Make a model production by hand."""
    from topcoat.project.production import promote as promote_model

    with open_session(f"promote {model}") as session:
        promoted = promote_model(session, model)
    if json:
        _print_json({"production": promoted.name})
    else:
        out.print(f"production is {promoted.name}", highlight=False, markup=False)


@app.command()
def rollback(json: Json = False) -> None:
    """Make the model before the present one production again."""
    from topcoat.project.production import rollback as roll_back

    with open_session("rollback") as session:
        replaced, model = roll_back(session)
    if json:
        _print_json({"production": model.name, "replaced": replaced})
    else:
        out.print(f"production is {model.name} again, no longer {replaced}", highlight=False, markup=False)


@app.command()
def adopt(
    phase: Annotated[str, typer.Argument(help="the phase whose gate it has to pass: a name or a file")],
    adapter: Annotated[Path, typer.Argument(help="the folder of an mlx-lm or PEFT adapter")],
    json: Json = False,
) -> None:
    """Fuse, evaluate and judge an adapter that was trained elsewhere, as an attempt of a phase."""
    from topcoat.phases.adoption import adopt_adapter

    with open_session(f"adopt {phase}") as session:
        outcome = adopt_adapter(session, _phase_path(session, phase), adapter.absolute())
    _show_outcome(outcome, json)
    if not outcome.promoted:
        raise typer.Exit(GateRefused.exit_code)


@app.command()
def rebuild(
    model: Annotated[str, typer.Argument(help="a fused model of this project")],
    json: Json = False,
) -> None:
    """Make a fused model's folder again, bit for bit, from the root and the adapters."""
    from topcoat.phases.rebuilding import rebuild as make_again

    with open_session(f"rebuild {model}") as session:
        row = make_again(session, model)
    if json:
        _print_json({"model": row.name, "path": str(row.path), "digest": row.digest})
    else:
        out.print(f"{row.name} is whole, as it was recorded: {row.path}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    json: Json = False,
) -> None:
    """Delete fused models that can be rebuilt, and checkpoints of finished trainings. Never production or a root."""
    from topcoat.phases.rebuilding import collect_garbage

    with open_session("gc") as session:
        freed = collect_garbage(session, dry_run=dry_run)
    if json:
        _print_json({"dry_run": dry_run, "folders": freed.folders, "bytes": freed.bytes})
        return
    for folder in freed.folders:
        out.print(folder, highlight=False, markup=False, soft_wrap=True)
    verb = "would be freed" if dry_run else "freed"
    out.print(f"{len(freed.folders)} folders, {freed.bytes / 1e6:.1f} MB {verb}", highlight=False)


def main() -> None:
    """Run the command line. What the terminal's encoding doesn't have is shown as "?"."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    app()


def _run(folder: Path, phase: str, json: bool, *, allow: frozenset[str] = frozenset(), restart: bool = False) -> None:
    from topcoat.phases.run import run_phase

    with open_session(f"run {phase}", folder) as session:
        outcome = run_phase(session, _phase_path(session, phase), allow=allow, restart=restart)
    _end_with(outcome, json)


def _end_with(outcome: PhaseOutcome, json: bool) -> None:
    """Show the verdict, which decides the exit code."""
    _show_outcome(outcome, json)
    _end_as(outcome)


def _end_as(outcome: PhaseOutcome) -> None:
    if not outcome.promoted:
        raise typer.Exit(GateRefused.exit_code)


def _show_outcome(outcome: PhaseOutcome, json: bool) -> None:
    from topcoat.cli.display import show_outcome

    if json:
        _print_json(_as_document(outcome))
    else:
        show_outcome(out, outcome)


def _as_document(outcome: PhaseOutcome) -> dict[str, object]:
    return {
        "version": 1,
        "phase": outcome.phase,
        "promoted": outcome.promoted,
        "already": outcome.already,
        "report": str(outcome.report),
        "attempts": [result.model_dump(mode="json") for result in outcome.results],
    }


def _phase_path(project: Project, phase: str) -> Path:
    """A phase by name (`phases/NAME.toml` of the project) or by path."""
    if phase.endswith(".toml"):
        return Path(phase).absolute()
    return project.paths.phase(phase)


def _targets(given: list[str] | None) -> dict[str, float | None]:
    """Categories with their scores, as in "domain=0.8"; without a score, None."""
    targets: dict[str, float | None] = {}
    for text in given or ():
        name, equals, score = text.rpartition("=")
        try:
            targets[name if equals else text] = float(score) if equals else None
        except ValueError:
            raise InvalidInput(f'"{score}" is no score', hint=f"--target {name}=0.8") from None
    return targets


def _codes(allow: list[str] | None) -> frozenset[str]:
    from topcoat.examples.checks.check import CODES

    unknown = sorted(set(allow or ()) - CODES.keys())
    if unknown:
        raise InvalidInput(f'no finding has the code "{unknown[0]}"', hint=f"one of {', '.join(sorted(CODES))}")
    return frozenset(allow or ())


def _show(record: BaseModel, json: bool, display: Callable[[], None]) -> None:
    if json:
        _print_json(record.model_dump(mode="json"))
    else:
        display()


def _print_json(document: object) -> None:
    import json as json_module

    sys.stdout.write(json_module.dumps(document, ensure_ascii=False, indent=2) + "\n")
