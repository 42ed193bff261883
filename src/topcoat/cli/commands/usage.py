"""The commands that learn from captured usage: extract, review, cycle."""

from __future__ import annotations

from typing import Annotated

import typer

from topcoat.cli.commands.phases import as_document, end_as, phase_path, show_outcome
from topcoat.cli.console import out
from topcoat.cli.opening import open_project, open_session
from topcoat.cli.options import HeldOut, Json, print_json, show
from topcoat.quantity import counted

__all__ = ["cycle", "extract", "review"]


def extract(
    phase: Annotated[str, typer.Option(metavar="NAME", help="The phase whose quota is to be filled.")],
    held_out: HeldOut = 0.2,
    overwrite: Annotated[bool, typer.Option(help="Write also over files that were edited.")] = False,
    json: Json = False,
) -> None:
    """The examples in captured usage that a phase asks for: data/NAME.jsonl, checked, each with where it comes from.

    A share of the sessions becomes evaluation cases instead, in suites/captured.jsonl; put them into the suite.
    """
    from topcoat.cli.display import show_extraction
    from topcoat.spec.phase import load_phase
    from topcoat.usage.extraction.extract import extract_examples

    with open_session("extract") as session:
        path = phase_path(session, phase)
        quota = load_phase(path).data.quota
        found = extract_examples(session, path.stem, quota, held_out=held_out, overwrite=overwrite)
    show(found, json, lambda: show_extraction(out, found))


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
        print_json({"version": 1, "decided": done, "left": left})
    else:
        out.print(f"{counted(done, 'example')} decided on, {left} left", highlight=False)


def cycle(
    goal: Annotated[float, typer.Option(help="The score below which a category is weak.")] = 0.9,
    held_out: HeldOut = 0.2,
    review: Annotated[bool, typer.Option(help="Stop before the run; the next cycle goes on with it.")] = False,
    json: Json = False,
) -> None:
    """Evaluate, plan, extract, run: captured usage becomes the next model, if there is enough and the gate agrees."""
    from topcoat.cli.display import show_extraction
    from topcoat.usage.extraction.cycle import turn_cycle

    with open_session("cycle") as session:
        done = turn_cycle(session, goal=goal, held_out=held_out, review=review)
    if json:
        extraction = None if done.extraction is None else done.extraction.model_dump(mode="json")
        told = {"version": 1, "phase": done.phase, "stopped": done.stopped, "extraction": extraction}
        print_json(told if done.outcome is None else told | as_document(done.outcome))
    else:
        if done.extraction is not None:
            show_extraction(out, done.extraction)
        if done.outcome is not None:
            show_outcome(done.outcome, json=False)
        else:
            out.print(f"stopped: {done.stopped}", highlight=False, markup=False, soft_wrap=True)
    if done.outcome is not None:
        end_as(done.outcome)
