"""What exporting a model gives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topcoat.store.records.evaluations import Record

__all__ = ["ExportRecord", "ExportReport", "StackedCoats"]


class StackedCoats(Record):
    """The coats of a model as one adapter on its root, beside the fused model.

    `rank` is the adapter's: the sum of the coats'. `survival` is the smallest share, over the adapted modules, of the
    coats' sum that the fused weight contains, and `module` has it. `apart` is the largest rms, over the modules, of
    root + coats minus the fused weight, as a share of the rms of the coats' sum.
    """

    coats: int
    rank: int
    modules: int
    survival: float
    module: str
    apart: float


class ExportReport(Record):
    """What an engine wrote. `kinds` counts the tensors by how their numbers are stored; `size` is the weights' bytes.

    `rounding` is the largest rms, over the tensors, of what was written minus what the model computes with, as a share
    of the tensor's rms: 0 if no number was rounded. It is None for an adapter. `notes` say what is left out or said in
    another way.
    """

    kinds: dict[str, int]
    size: int
    rounding: float | None = None
    coats: StackedCoats | None = None
    notes: list[str] = Field(default_factory=list)


class ExportRecord(Record):
    """An exported folder's own description, in `topcoat.json`: what it was made of, and what was measured.

    `weights` is the file or folder with the weights, relative to the exported folder. `root` is the model that an
    adapter belongs on.
    """

    version: Literal[1] = 1
    model: str
    digest: str
    root: str
    to: str
    weights: str
    report: ExportReport
