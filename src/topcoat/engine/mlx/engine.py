"""The engine's protocol, served by MLX."""

from __future__ import annotations

import importlib.metadata
from datetime import date
from pathlib import Path

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu.quicken import on_cpu, quick
from topcoat.engine.mlx.fuse.fuse import fuse, rebuild
from topcoat.engine.mlx.fuse.master import require_fusable
from topcoat.engine.mlx.generate.generate import generate
from topcoat.engine.mlx.model.adapter_formats import adopt
from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.mlx.model.folder import describe, load, locate
from topcoat.engine.mlx.model.lora import attach
from topcoat.engine.mlx.model.memory import memory_limit, require_room_for_training, wired
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.mlx.train.loop import train
from topcoat.engine.protocol import FuseJob, GenerateJob, ModelInfo, RebuildJob, TrainJob
from topcoat.progress import Sink
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.store.records import Completion, FuseReport, TrainReport

__all__ = ["MlxEngine"]


class MlxEngine:
    """Loads a model for each job and drops it afterwards: what a job computes depends on the job alone."""

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.on_cpu = on_cpu()

    @property
    def name(self) -> str:
        """Versions and device; how it computes only where that isn't the device's default."""
        device = "cpu" if self.on_cpu else "gpu"
        versions = f"mlx {importlib.metadata.version('mlx')} mlx-lm {importlib.metadata.version('mlx-lm')}"
        usual = Compute.DEQUANTIZED if self.on_cpu else Compute.AS_STORED
        return f"{versions} {device}" if self.compute is usual else f"{versions} {device} {self.compute}"

    @property
    def memory_limit(self) -> int:
        return memory_limit()

    def locate(self, model: Path | str) -> Path:
        return locate(model)

    def describe(self, model: Path) -> ModelInfo:
        return describe(model)

    def tokenizer(self, model: Path, day: date | None = None) -> MlxTokenizer:
        return MlxTokenizer(model, read_config(model).get("eos_token_id"), day)

    def require_trainable(self, model: Path, train: TrainSpec, fuse: FuseSpec) -> None:
        loaded = load(model, self.compute, lazy=True).model
        attach(loaded, train)
        require_room_for_training(loaded)
        require_fusable(loaded, model, fuse)

    def generate(self, job: GenerateJob, sink: Sink) -> list[Completion]:
        with quick(), wired():
            loaded = load(job.model, self.compute)
            return generate(loaded.model, loaded.tokenizer, job, sink)

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        with quick(), wired():
            return train(job, sink, self.compute, by=self.name)

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        loaded = load(model, self.compute, lazy=True).model
        adopt(loaded, source, target)
        require_fusable(loaded, model, None)

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        with quick(), wired():
            return fuse(job, sink, self.compute)

    def rebuild(self, job: RebuildJob, sink: Sink) -> None:
        with quick(), wired():
            rebuild(job, sink, Compute(job.computed) if job.computed else self.compute)
