"""The terminal's side of `topcoat review`: shows an example and reads a key."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from topcoat.cli.console import out, print_line
from topcoat.cli.editor import edit
from topcoat.errors import InvalidInput, Refused
from topcoat.examples.draft import draft_of
from topcoat.quantity import counted
from topcoat.spec.example import Example
from topcoat.store.paths import ProjectPaths
from topcoat.usage.dialogue import Turn
from topcoat.usage.extraction.editing import draft, read_edit
from topcoat.usage.extraction.review import Decision, decide, dialogue_of, pending

__all__ = ["review_examples"]

_KEYS = "a accept, r reject, e edit, q stop for now"


def review_examples(paths: ProjectPaths, name: str, accept_above: float | None) -> tuple[int, int]:
    """Go through what nobody decided on; says how many were decided on and how many are left.

    With `accept_above`, those with a higher score are accepted unseen. Raises Refused if there is more to ask and no
    terminal to ask at.
    """
    waiting = pending(paths, name)
    sure = {key: Decision(kind="accepted") for key, e in waiting.items() if _above(e, accept_above)}
    if sure:
        decide(paths, name, sure)
    asked = {key: example for key, example in waiting.items() if key not in sure}
    if asked and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused(
            f"review of {counted(len(asked), 'example')} needs a terminal",
            hint=f"topcoat review --phase {name} --accept-above 0.7",
        )
    done = len(sure)
    for number, (key, example) in enumerate(asked.items(), 1):
        _show(out, f"{number} of {len(asked)}", dialogue_of(paths, example), example)
        decision = _ask(name, example, typer.getchar)
        if decision is None:
            break
        for standing in decide(paths, name, {key: decision}).values():
            print_line(out, f"[yellow]kept as it is:[/] somebody else {standing.kind} it meanwhile")
        done += 1
    return done, len(waiting) - done


def _above(example: Example, least: float | None) -> bool:
    return least is not None and float((example.model_extra or {}).get("score", 0.0)) > least


def _ask(name: str, example: Example, read_key: Callable[[], str]) -> Decision | None:
    """The decision of the next key that means one; None to stop."""
    while True:
        print_line(out, f"[bold]{_KEYS}[/]")
        match read_key().lower():
            case "a":
                return Decision(kind="accepted")
            case "r":
                return Decision(kind="rejected")
            case "q" | "\x03" | "\x04":
                return None
            case "e":
                try:
                    return Decision(kind="accepted", messages=_edited(name, example))
                except InvalidInput as error:
                    for mistake in error.mistakes:
                        print_line(out, f"[red]{escape(mistake.message)}[/]")
                        if mistake.hint:
                            print_line(out, f"  [cyan]hint:[/] {escape(mistake.hint)}")


def _edited(name: str, example: Example) -> list[dict[str, Any]]:
    """The turns as the user's editor leaves them. Raises `InvalidInput` if they are no dialogue."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.txt"
        path.write_text(draft(example), encoding="utf-8")
        edit(path, f"topcoat review --phase {name}")
        return read_edit(path.read_text(encoding="utf-8"), path, example)


def _show(console: Console, place: str, talk: list[Turn], example: Example) -> None:
    """The captured conversation, the example made from it, and why."""
    extra = example.model_extra or {}
    console.rule(f"{place}: {example.category}, {extra.get('kind')}, score {extra.get('score')}")
    for turn in talk:
        if turn.role != "system":
            print_line(console, f"[dim]{turn.role}: {escape(turn.text)}[/]")
    print_line(console, f"[bold]the example[/], because {escape(str(extra.get('reason')))}:")
    for message in example.messages:
        if message.role != "system":
            said = draft_of([message]) if message.tool_calls else f"{message.role}: {message.content or ''}"
            print_line(console, f"[cyan]{escape(said.rstrip())}[/]")
