"""The engine's protocol, served by MLX."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from topcoat.engine.base import FuseJob, GenerateJob, ModelInfo, TrainJob
from topcoat.engine.mlx.cpu import quicken
from topcoat.engine.mlx.foreign import adopt
from topcoat.engine.mlx.fuse import fuse
from topcoat.engine.mlx.generate import generate
from topcoat.engine.mlx.model import describe, load, locate, on_cpu, read_config
from topcoat.engine.mlx.tokenizer import MlxTokenizer
from topcoat.engine.mlx.train import train
from topcoat.progress import Sink
from topcoat.records import Completion, FuseReport, TrainReport

__all__ = ["MlxEngine"]


class MlxEngine:
    """Loads a model for each job and drops it afterwards: what a job computes depends on the job alone."""

    def __init__(self) -> None:
        self.on_cpu = on_cpu()
        if self.on_cpu:
            quicken()

    @property
    def name(self) -> str:
        device = "cpu" if self.on_cpu else "gpu"
        return f"mlx {importlib.metadata.version('mlx')} mlx-lm {importlib.metadata.version('mlx-lm')} {device}"

    def locate(self, model: Path | str) -> Path:
        return locate(model)

    def describe(self, model: Path) -> ModelInfo:
        return describe(model)

    def tokenizer(self, model: Path) -> MlxTokenizer:
        return MlxTokenizer(model, read_config(model).get("eos_token_id"))

    def generate(self, job: GenerateJob, sink: Sink) -> list[Completion]:
        loaded = load(job.model)
        return generate(loaded.model, loaded.tokenizer, job, sink)

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        return train(job, sink, by=self.name)

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        adopt(load(model, lazy=True).model, source, target)

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        return fuse(job, sink)
