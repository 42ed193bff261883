"""The commands of a phase: planned, checked, run, adopted, reported; and how a project begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from topcoat.cli.console import beside, err, out
from topcoat.cli.opening import common, open_project, open_scores, open_session
from topcoat.cli.options import Allow, Json, PhaseArgument, print_json, show
from topcoat.errors import GateRefused, InvalidInput

if TYPE_CHECKING:
    from topcoat.phases.run import PhaseOutcome
    from topcoat.project.project import Project

__all__ = [
    "adopt",
    "as_document",
    "check",
    "codes",
    "demo",
    "end_as",
    "end_with",
    "init",
    "phase_path",
    "plan",
    "report",
    "run",
    "run_and_end",
    "show_outcome",
]


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the project.")] = Path("topcoat-demo"),
    json: Json = False,
) -> None:
    """The embedded project: phase 34a from start to verdict."""
    from topcoat.project.starting import DEMO_PHASE, copy_demo

    if copy_demo(folder):
        err.print(f"copied the embedded project to {folder}", highlight=False)
    run_and_end(folder, DEMO_PHASE, json)


def init(
    base: Annotated[str, typer.Option(help="The model to improve: a folder, a Hugging Face id, or a GGUF file.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR")] = Path(),
    calls: Annotated[
        Literal["native", "code"] | None,
        typer.Option(
            help="How the model calls tools: native, each by a call of its own, or code, from programs. "
            "[default: native; code for a catalog of stubs]",
        ),
    ] = None,
    catalog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your tools: JSON as OpenAI or MCP list them, or typed stubs (.pyi)."),
    ] = None,
) -> None:
    """Start a project around a model."""
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.engine.registry import engine_named
    from topcoat.project.starting import init_project

    with terminal_sink(err) as sink:
        started = init_project(
            folder, base, lambda: engine_named(common.engine).open(sink), calls=calls, catalog=catalog, sink=sink
        )
    for path, done in started.files.items():
        out.print(f"{done} {path}", highlight=False, markup=False, soft_wrap=True)
    for note in started.notes:
        err.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    tools = "" if catalog is not None else f"your tools into {started.catalog}, "
    out.print(f"next: put {tools}your cases into suites/, then: topcoat eval", highlight=False, markup=False)


def check(
    phase: PhaseArgument,
    allow: Allow = None,
    measure: Annotated[bool, typer.Option(help="Train a few updates to say what the phase will take.")] = True,
    json: Json = False,
) -> None:
    """Everything that can be known about a phase before anything is spent on it."""
    from topcoat.cli.display import show_check
    from topcoat.phases.canaries import say_canary
    from topcoat.phases.estimation import estimate
    from topcoat.phases.preparation import prepare

    with open_session("check") as session:
        prepared = prepare(session, phase_path(session, phase), allow=codes(allow))
        say_canary(session, prepared.name, prepared.spec)
        report = prepared.report
        if measure and not report.errors:
            report = report.model_copy(update={"estimate": estimate(session, prepared)})
    show(report, json, lambda: show_check(out, report))
    if report.errors or (report.estimate and not report.estimate.fits):
        raise typer.Exit(InvalidInput.exit_code)


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
    with open_scores("plan") if write is None else open_session("plan") as reader:
        name = write.stem if write else "next"
        found = plan_phase(reader, name=name, goal=goal, examples=examples, targets=_targets(target))
        if write is not None:
            write_plan(found, write)
    show(found, json, lambda: show_plan(beside(write), found, write))


def run(
    phase: PhaseArgument,
    allow: Allow = None,
    restart: Annotated[
        bool, typer.Option(help="Give up a run of this phase that was begun with other inputs.")
    ] = False,
    json: Json = False,
) -> None:
    """Check, train, fuse, evaluate, judge; promote, or discard and change what went wrong."""
    run_and_end(common.start, phase, json, allow=codes(allow), restart=restart)


def report(phase: PhaseArgument, json: Json = False) -> None:
    """Write a phase's HTML page and say where it is."""
    from topcoat.phases.run import write_report

    with open_project() as project:
        path = write_report(project, Path(phase).stem if phase.endswith(".toml") else phase)
    if json:
        print_json({"report": str(path)})
    else:
        out.print(str(path), highlight=False, markup=False, soft_wrap=True)


def adopt(
    phase: Annotated[str, typer.Argument(help="the phase whose gate it has to pass: a name or a file")],
    adapter: Annotated[Path, typer.Argument(help="the folder of an mlx-lm or PEFT adapter")],
    json: Json = False,
) -> None:
    """Fuse, evaluate and judge an adapter that was trained elsewhere, as an attempt of a phase."""
    from topcoat.phases.adoption import adopt_adapter

    with open_session(f"adopt {phase}") as session:
        outcome = adopt_adapter(session, phase_path(session, phase), adapter.absolute())
    end_with(outcome, json)


def run_and_end(
    folder: Path, phase: str, json: bool, *, allow: frozenset[str] = frozenset(), restart: bool = False
) -> None:
    from topcoat.phases.run import run_phase

    with open_session(f"run {phase}", folder) as session:
        outcome = run_phase(session, phase_path(session, phase), allow=allow, restart=restart)
    end_with(outcome, json)


def end_with(outcome: PhaseOutcome, json: bool) -> None:
    """Show the verdict, which decides the exit code."""
    show_outcome(outcome, json)
    end_as(outcome)


def end_as(outcome: PhaseOutcome) -> None:
    if not (outcome.promoted or outcome.awaiting):
        raise typer.Exit(GateRefused.exit_code)


def show_outcome(outcome: PhaseOutcome, json: bool) -> None:
    from topcoat.cli.display import show_outcome

    if json:
        print_json(as_document(outcome))
    else:
        show_outcome(out, outcome)


def as_document(outcome: PhaseOutcome) -> dict[str, object]:
    return {
        "version": 1,
        "phase": outcome.phase,
        "promoted": outcome.promoted,
        "awaiting": outcome.awaiting,
        "production": outcome.production,
        "path": str(outcome.folder),
        "already": outcome.already,
        "report": str(outcome.report),
        "attempts": [result.model_dump(mode="json") for result in outcome.results],
    }


def phase_path(project: Project, phase: str) -> Path:
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


def codes(allow: list[str] | None) -> frozenset[str]:
    from topcoat.examples.checks.check import CODES

    unknown = sorted(set(allow or ()) - CODES.keys())
    if unknown:
        raise InvalidInput(f'no finding has the code "{unknown[0]}"', hint=f"one of {', '.join(sorted(CODES))}")
    return frozenset(allow or ())
