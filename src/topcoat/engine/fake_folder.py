"""The folder of a fake model: read, and copied by an export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from topcoat.engine.protocol import ExportJob
from topcoat.errors import InvalidInput, Where
from topcoat.store.files import staged_folder
from topcoat.store.records import ExportReport

__all__ = ["Pair", "export_folder", "read_config", "read_memory"]

Pair = tuple[str, str]
"""A prompt of the user, and the answer."""


def export_folder(job: ExportJob) -> ExportReport:
    """Copy the model. It has no weights, so InvalidInput is raised for any other form than a whole folder."""
    memory = read_memory(job.model)
    if job.form != "hf":
        raise InvalidInput(
            f"a fake model can't be exported as {job.form}: it has no weights",
            where=Where(job.model),
            hint="topcoat --engine fake export MODEL --to hf",
        )
    with staged_folder(job.output) as staged:
        for name in ("config.json", "memory.json"):
            shutil.copyfile(job.model / name, staged / name)
    return ExportReport(kinds={"pair": len(memory)}, size=(job.output / "memory.json").stat().st_size, rounding=0.0)


def read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except OSError as error:
        said = error.strerror or error
        raise InvalidInput(f"config.json can't be read: {said}", where=Where(folder / "config.json")) from error
    except ValueError as error:
        raise InvalidInput(f"config.json is not JSON: {error}", where=Where(folder / "config.json")) from error
    return config if isinstance(config, dict) else {}


def read_memory(folder: Path) -> list[Pair]:
    if not folder.is_dir():
        raise InvalidInput(f"no such model: {folder}", hint="topcoat status lists the models of this project")
    path = folder / "memory.json"
    if not path.is_file():
        raise InvalidInput(
            f"{folder} is no model of the fake engine: it has no memory.json",
            where=Where(folder),
            hint="leave --engine fake out: it loads no weights",
        )
    try:
        return [(str(prompt), str(answer)) for prompt, answer in json.loads(path.read_bytes())]
    except OSError as error:
        raise InvalidInput(f"memory.json can't be read: {error.strerror or error}", where=Where(path)) from error
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"memory.json holds no pairs of prompt and answer: {error}", where=Where(path)) from error
