"""The commands of models: evaluated, compared, promoted, rolled back, rebuilt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from topcoat.cli.console import err, out, print_line
from topcoat.cli.opening import common, open_project, open_scores, open_session
from topcoat.cli.options import Json, print_json, show
from topcoat.errors import InvalidInput
from topcoat.quantity import counted

if TYPE_CHECKING:
    from topcoat.store.records import EvalResult

__all__ = ["compare", "discard", "evaluate", "gc", "log", "promote", "rebuild", "rollback", "status"]


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A model of this project, or a folder.", show_default="production"),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Ask a server instead, by OpenAI's chat completions. Given several times, servers share the cases.",
        ),
    ] = None,
    served: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="What the server calls it; once for all servers, or for each."),
    ] = None,
    exported: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Ask an exported folder in its own runtime, and compare it with its model."
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests to each server at a time.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a server has for an answer.")] = 120.0,
    json: Json = False,
) -> None:
    """Evaluate a model on the project's suite, by category.

    A server that wants an API key gets the one in TOPCOAT_API_KEY. Cases that it leaves unanswered have no score; more
    of them than max_errors (in topcoat.toml, [eval]) void the evaluation. Of several servers, one that fails is left
    out, and its cases are asked elsewhere.
    """
    from topcoat.cli.display import show_evaluation

    if exported is not None:
        if model is not None or endpoint or served:
            raise InvalidInput("--exported says which model it is", hint=f"topcoat eval --exported {exported}")
        _evaluate_export(exported, concurrency, timeout, json)
        return
    if endpoint:
        given = " ".join(f"--endpoint {url}" for url in endpoint)
        if model is not None:
            raise InvalidInput("--endpoint names the model with --model", hint=f"{given} --model {model}")
        if not served:
            raise InvalidInput("--endpoint needs the model's name on the server", hint=f"{given} --model NAME")
        result = _evaluate_endpoints(endpoint, served, concurrency, timeout)
    elif served:
        raise InvalidInput("--model names a model on a server", hint="--endpoint URL --model NAME")
    else:
        result = _evaluate_model(model or "production")
    show(result, json, lambda: show_evaluation(out, result))


def status(json: Json = False) -> None:
    """Production, the models and their scores, the phases."""
    from topcoat.cli.display import show_status
    from topcoat.phases.history import project_status

    with open_project() as project:
        found = project_status(project)
    show(found, json, lambda: show_status(out, found))


def log(json: Json = False) -> None:
    """Everything that happened in this project, oldest first."""
    from topcoat.cli.display import show_log
    from topcoat.phases.history import history

    with open_project() as project:
        entries = history(project.lineage)
    if json:
        print_json([entry.model_dump(mode="json") for entry in entries])
    else:
        show_log(out, entries)


def compare(
    before: Annotated[str, typer.Argument(metavar="A")],
    after: Annotated[str, typer.Argument(metavar="B")] = "production",
    json: Json = False,
) -> None:
    """Two models side by side: categories, and every case that changed."""
    from topcoat.cli.display import show_comparison
    from topcoat.phases.judging.evaluation import compare_models

    with open_scores(f"compare {before} {after}") as reader:
        comparison = compare_models(reader, reader.model(before), reader.model(after))
    show(comparison, json, lambda: show_comparison(out, comparison))


def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    yes: Annotated[bool, typer.Option("--yes", help="Also a model that its gate discarded.")] = False,
    json: Json = False,
) -> None:
    """Make a model production by hand."""
    from topcoat.project.production import promote as promote_model

    with open_session(f"promote {model}") as session:
        promoted, reasons = promote_model(session, model, discarded=yes)
    for reason in reasons:
        print_line(err, f"[yellow]warning:[/] {escape(promoted.name)} was discarded: {escape(reason)}")
    if json:
        print_json({"production": promoted.name, "path": str(promoted.path), "discarded": reasons})
    else:
        print_line(out, f"production is {escape(promoted.name)}: {escape(str(promoted.path))}")


def discard(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model that awaits its canary")],
    json: Json = False,
) -> None:
    """Discard a model that passed its gate and awaits its canary."""
    from topcoat.project.production import discard as discard_model

    with open_session(f"discard {model}") as session:
        discarded = discard_model(session, model)
        production = session.lineage.production()
    if json:
        print_json({"discarded": discarded.name, "production": production})
    else:
        print_line(out, f"{escape(discarded.name)} is discarded; production is {escape(str(production))}, as before")


def rollback(json: Json = False) -> None:
    """Make the model before the present one production again."""
    from topcoat.project.production import rollback as roll_back

    with open_session("rollback") as session:
        replaced, model = roll_back(session)
    if json:
        print_json({"production": model.name, "path": str(model.path), "replaced": replaced})
    else:
        line = f"production is {model.name} again, no longer {replaced}: {model.path}"
        print_line(out, escape(line))


def rebuild(
    model: Annotated[str, typer.Argument(help="a fused model of this project")],
    json: Json = False,
) -> None:
    """Make a fused model's folder again if it is gone or damaged, bit for bit, from the root and the adapters."""
    from topcoat.phases.rebuilding import rebuild as make_again

    with open_session(f"rebuild {model}") as session:
        row = make_again(session, model)
    if json:
        print_json({"model": row.name, "path": str(row.path), "digest": row.digest})
    else:
        out.print(f"{row.name} is whole, as it was recorded: {row.path}", highlight=False, markup=False, soft_wrap=True)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    json: Json = False,
) -> None:
    """Delete fused models that can be rebuilt, checkpoints of finished trainings, and what other models than production
    computed of prompts. Never production or a root."""
    from topcoat.phases.rebuilding import collect_garbage

    with open_session("gc") as session:
        freed = collect_garbage(session, dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, "folders": freed.folders, "bytes": freed.bytes, "kept": freed.kept})
        return
    for folder in freed.folders:
        out.print(folder, highlight=False, markup=False, soft_wrap=True)
    for reason in freed.kept:
        out.print(reason, highlight=False, markup=False, soft_wrap=True)
    verb = "would be freed" if dry_run else "freed"
    out.print(f"{counted(len(freed.folders), 'folder')}, {freed.bytes / 1e6:.1f} MB {verb}", highlight=False)


def _evaluate_model(model: str) -> EvalResult:
    """A model of the lineage; a folder if none is called so."""
    from topcoat.phases.judging.evaluation import evaluate_folder, evaluate_model

    with open_scores(f"eval {model}") as reader:
        known = model == "production" or reader.lineage.model(model) is not None
        if not known and Path(model).is_dir():
            return evaluate_folder(reader, Path(model).absolute())
        return evaluate_model(reader, reader.model(model))


def _evaluate_export(folder: Path, concurrency: int, timeout: float, json: bool) -> None:
    """An exported folder beside its model."""
    from topcoat.cli.exported import show_cost
    from topcoat.engine.registry import engine_named
    from topcoat.export.cost import evaluate_export

    with open_scores(f"eval --exported {folder}") as reader:
        entry = engine_named(common.engine)
        cost = evaluate_export(reader, entry, folder.absolute(), concurrency=concurrency, timeout=timeout)
    show(cost, json, lambda: show_cost(out, cost))


def _evaluate_endpoints(urls: list[str], models: list[str], concurrency: int, timeout: float) -> EvalResult:
    """The project isn't locked, and no engine is loaded."""
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.phases.judging.evaluation import evaluate_endpoint
    from topcoat.suites.endpoint import KEY_VARIABLE
    from topcoat.suites.endpoints import endpoints_of

    with terminal_sink(err) as sink, open_project() as project:
        source = endpoints_of(
            urls,
            models,
            sink,
            key=os.environ.get(KEY_VARIABLE, ""),
            concurrency=concurrency,
            timeout=timeout,
            max_errors=project.settings.spec.eval.max_errors,
            template=project.settings.spec.project.template,
        )
        return evaluate_endpoint(project, source, sink)
