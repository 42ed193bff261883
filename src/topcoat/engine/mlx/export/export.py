"""Exports a model as the job says."""

from __future__ import annotations

from topcoat.engine.mlx.export.coats import export_coats
from topcoat.engine.mlx.export.gguf_file import export_gguf
from topcoat.engine.mlx.export.hf import export_hf
from topcoat.engine.protocol import ExportJob
from topcoat.progress import Sink
from topcoat.store.records import ExportReport

__all__ = ["export"]

_WRITERS = {"hf": export_hf, "gguf": export_gguf, "mlx-adapter": export_coats, "peft": export_coats}


def export(job: ExportJob, sink: Sink) -> ExportReport:
    """Write `job.output`. Raises what the writer of the form raises."""
    return _WRITERS[job.form](job, sink)
