"""The commands that take a model out of the project: exported, described, pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from topcoat.cli.console import err, out
from topcoat.cli.opening import common, open_project
from topcoat.cli.options import Json, show

__all__ = ["export"]


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
