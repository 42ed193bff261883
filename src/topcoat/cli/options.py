"""Options that several commands take, and the two ways of showing a record."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel


__all__ = ["Allow", "HeldOut", "Json", "PhaseArgument", "print_json", "show"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
PhaseArgument = Annotated[str, typer.Argument(metavar="PHASE", help="A phase's name, or its file.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", metavar="CODE", help="Let findings of this code through.")]
HeldOut = Annotated[float, typer.Option(help="The share of sessions that become evaluation cases, never training.")]


def show(record: BaseModel, json: bool, display: Callable[[], None]) -> None:
    if json:
        print_json(record.model_dump(mode="json"))
    else:
        display()


def print_json(document: object) -> None:
    import json as json_module

    sys.stdout.write(json_module.dumps(document, ensure_ascii=False, indent=2) + "\n")
