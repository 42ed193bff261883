"""Exports a model of the lineage to a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from topcoat.engine.protocol import Engine, ExportForm, ExportJob, Numbers
from topcoat.errors import InvalidInput, Where
from topcoat.export.modelfile import modelfile
from topcoat.progress import Note, Sink, task
from topcoat.project.integrity import require_whole
from topcoat.project.project import Project
from topcoat.project.rendering import project_tokenizer
from topcoat.store.files import read_record, staged_folder, write_json, write_text
from topcoat.store.lineage import ModelRow
from topcoat.store.records import ExportRecord, ExportReport, Record

__all__ = ["RECORD", "TARGETS", "Exported", "Target", "export_model", "read_export"]

Target = Literal["hf", "mlx-adapter", "peft", "gguf", "ollama", "lmstudio", "lmstudio-gguf"]
TARGETS: tuple[Target, ...] = get_args(Target)

RECORD = "topcoat.json"
"""The file in an exported folder that says what it was made of."""


class Exported(Record):
    """An exported folder and its record."""

    folder: Path
    record: ExportRecord


@dataclass(frozen=True, slots=True)
class _Order:
    """What is exported, and how. `folder` is staged."""

    project: Project
    engine: Engine
    sink: Sink
    model: ModelRow
    numbers: Numbers
    folder: Path

    def engine_export(self, form: ExportForm) -> ExportReport:
        """Let the engine write into the staged folder itself."""
        ancestry = self.project.lineage.ancestry(self.model.name)
        adapters = [each.adapter for each in ancestry[1:] if each.adapter is not None]
        part = self.folder / ".part"
        job = ExportJob(self.model.path, form, part, self.model.name, self.numbers, ancestry[0].path, adapters)
        report = self.engine.export(job, self.sink)
        for path in part.iterdir():
            path.rename(self.folder / path.name)
        part.rmdir()
        return report


def export_model(
    project: Project, engine: Engine, sink: Sink, name: str, to: Target, out: Path | None, numbers: Numbers
) -> Exported:
    """Export the model called `name` to the folder `out`, or to one in the project's `exports/`.

    For LM Studio, `out` is the folder of its models, where the export gets a folder of its own. Nothing that is there
    is touched. Raises StorageFault if the model's files have changed, Refused if the folder is there, InvalidInput for
    what the target has no place for.
    """
    model = project.model(name)
    require_whole(engine, model)
    folder = _folder(project, model, to, out)
    root = project.lineage.require_model(model.root)
    with staged_folder(folder) as staged:
        report, weights = _WRITERS[to](_Order(project, engine, sink, model, numbers, staged))
        record = ExportRecord(
            model=model.name, digest=model.digest, root=root.name, to=to, weights=weights, report=report
        )
        write_json(staged / RECORD, record)
    return Exported(folder=folder, record=record)


def read_export(folder: Path) -> ExportRecord:
    """The record of an exported folder. Raises InvalidInput if there is none."""
    if not (folder / RECORD).is_file():
        raise InvalidInput(
            f"{folder} is no exported model: it has no {RECORD}",
            where=Where(folder),
            hint="topcoat export MODEL --to hf",
        )
    return read_record(folder / RECORD, ExportRecord)


def _folder(project: Project, model: ModelRow, to: Target, out: Path | None) -> Path:
    if to.startswith("lmstudio"):
        models = out or project.paths.root / "exports" / "lmstudio"
        kind = "-gguf" if to.endswith("gguf") else ""
        return models / project.settings.spec.project.name / f"{model.name}{kind}"
    return out or project.paths.root / "exports" / f"{model.name}-{to}"


def _hf(order: _Order) -> tuple[ExportReport, str]:
    return order.engine_export("hf"), "."


def _mlx_adapter(order: _Order) -> tuple[ExportReport, str]:
    return order.engine_export("mlx-adapter"), "."


def _peft(order: _Order) -> tuple[ExportReport, str]:
    return order.engine_export("peft"), "."


def _gguf(order: _Order) -> tuple[ExportReport, str]:
    return order.engine_export("gguf"), f"{order.model.name}.gguf"


def _ollama(order: _Order) -> tuple[ExportReport, str]:
    # The template first: whether it can be written is known before the weights are.
    tokenizer = project_tokenizer(order.project, order.engine, order.model.path)
    weights = f"{order.model.name}.gguf"
    text, notes = modelfile(weights, tokenizer, order.engine.describe(order.model.path).context)
    report = order.engine_export("gguf")
    write_text(order.folder / "Modelfile", text)
    return report.model_copy(update={"notes": [*report.notes, *notes]}), weights


def _lmstudio(order: _Order) -> tuple[ExportReport, str]:
    """A copy of the MLX folder, which LM Studio's MLX engine loads as mlx-lm does."""
    if order.numbers != "as-stored":
        raise InvalidInput(
            f"LM Studio gets the MLX model as it is, not as {order.numbers}", hint="--to lmstudio-gguf, or no --numbers"
        )
    files = sorted(path for path in order.model.path.iterdir() if path.is_file())
    size = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    order.sink.emit(Note(f"copying {size / 1e6:.1f} MB of weights"))
    with task(order.sink, "export", total=len(files), unit="file") as progress:
        for done, path in enumerate(files, 1):
            shutil.copyfile(path, order.folder / path.name)
            progress.advance(done)
    weights = [path for path in files if path.suffix == ".safetensors"]
    return ExportReport(kinds={"file": len(weights)}, size=size, rounding=0.0), "."


_WRITERS: Mapping[Target, Callable[[_Order], tuple[ExportReport, str]]] = {
    "hf": _hf,
    "mlx-adapter": _mlx_adapter,
    "peft": _peft,
    "gguf": _gguf,
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "lmstudio-gguf": _gguf,
}
