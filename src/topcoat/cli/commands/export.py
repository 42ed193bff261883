"""The commands that take a model out of the project: exported, described, pushed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from topcoat.cli.console import beside, err, out, print_line
from topcoat.cli.opening import common, open_project, open_scores
from topcoat.cli.options import Json, print_json, show
from topcoat.errors import InvalidInput

__all__ = ["card", "export", "push"]


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of this project, or production.")],
    to: Annotated[
        Literal["hf", "mlx-adapter", "peft", "gguf", "ollama", "lmstudio", "lmstudio-gguf"],
        typer.Option(
            help="hf: full precision, for transformers and vLLM. mlx-adapter, peft: the coats as an adapter on the "
            "root. gguf: for llama.cpp. ollama: GGUF with a Modelfile. lmstudio: the folder of LM Studio's models.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="A new folder. [default: exports/MODEL-TO in the project]"),
    ] = None,
    numbers: Annotated[
        Literal["as-stored", "bf16", "f16", "f32"],
        typer.Option(help="How weights are written; as-stored rounds as few as the form allows."),
    ] = "as-stored",
    json: Json = False,
) -> None:
    """Write a model, or its coats, for another runtime. Nothing that is there is overwritten."""
    from topcoat.cli.exported import show_export
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.engine.registry import engine_named
    from topcoat.export.exporting import export_model

    with terminal_sink(err) as sink, open_project() as project:
        engine = engine_named(common.engine).open(sink)
        done = export_model(project, engine, sink, model, to, folder, numbers)
    show(done, json, lambda: show_export(out, done))


def card(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of this project.")] = "production",
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="A new file, instead of printing the card.")] = None,
    json: Json = False,
) -> None:
    """Write a model card from the lineage: base, data, scores with intervals, what was lost, survival, licence."""
    from topcoat.export.card import model_card
    from topcoat.store.files import require_new, write_text

    if to is not None:
        require_new(to, "topcoat card MODEL --to NEW_FILE")
    with open_project() as project:
        text = model_card(project, model)
    if to is not None:
        write_text(to, text)
    if json:
        print_json({"card": text, "file": None if to is None else str(to)})
    elif to is None:
        out.print(text, end="", highlight=False, markup=False, soft_wrap=True)
    else:
        print_line(beside(to), f"wrote {escape(str(to))}")


def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of this project, or an exported folder.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hugging Face hub.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Send a model with its card to the Hugging Face hub. Says what it sends, and asks before it does."""
    from topcoat.export.push import CARD, parcel_of, require_token
    from topcoat.export.push import push as send

    require_token()
    with open_scores(f"push {model}") as reader:
        parcel = parcel_of(reader, model, repository)
    for name in (*parcel.files, CARD):
        print_line(err, f"  {escape(name)}")
    new = "public" if public else "private"
    said = f"{len(parcel.files) + 1} files, {parcel.size / 1e6:.1f} MB, to {repository} ({new} if it is new)"
    print_line(err, escape(said))
    if not yes and not _agreed():
        raise InvalidInput("nothing was sent", hint=f"topcoat push {model} {repository} --yes")
    address = send(parcel, private=not public)
    if json:
        print_json({"repository": parcel.repository, "address": address, "files": [*parcel.files, CARD]})
    else:
        print_line(out, f"sent: {escape(address)}")


def _agreed() -> bool:
    """Whether a person at the terminal says yes. Without a terminal nobody does."""
    return sys.stdin.isatty() and typer.confirm("send it?", err=True)
