"""The engine's protocol, served by MLX."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import date
from functools import partial
from pathlib import Path

import mlx.core as mx

from topcoat.engine.mlx.compute import Compute, rounds_to_tf32
from topcoat.engine.mlx.cpu.quicken import on_cpu, quick
from topcoat.engine.mlx.cuda import experts
from topcoat.engine.mlx.fuse.fuse import fuse, rebuild
from topcoat.engine.mlx.fuse.master import require_fusable
from topcoat.engine.mlx.generate.generate import generate
from topcoat.engine.mlx.generate.held import HeldModel
from topcoat.engine.mlx.gguf.convert import convert
from topcoat.engine.mlx.model.adapter_formats import adopt
from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.mlx.model.folder import describe, load, locate
from topcoat.engine.mlx.model.lora import attach, require_gradient
from topcoat.engine.mlx.model.memory import memory_limit, require_room_for_training, wired
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.mlx.train.loop import train
from topcoat.engine.mlx.verify.verify import Verifier
from topcoat.engine.protocol import (
    Answering,
    Converted,
    Ended,
    FuseJob,
    GenerateJob,
    ModelInfo,
    RebuildJob,
    TrainJob,
    Verified,
    VerifyJob,
    ignore,
)
from topcoat.errors import EngineFault
from topcoat.progress import Sink
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.store.records import Completion, FuseReport, TrainReport

__all__ = ["MlxEngine", "on_cuda"]


class MlxEngine:
    """Loads a model for each job and drops it afterwards: what a job computes depends on the job alone."""

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.on_cpu = on_cpu()

    @property
    def name(self) -> str:
        """Versions and device; how it computes only where that isn't the device's default.

        "tf32" says that a GPU rounds float32 products, because the environment asks for it.
        """
        device = "cpu" if self.on_cpu else "gpu tf32" if rounds_to_tf32() else "gpu"
        versions = f"mlx {importlib.metadata.version('mlx')} mlx-lm {importlib.metadata.version('mlx-lm')}"
        usual = Compute.DEQUANTIZED if self.on_cpu else Compute.AS_STORED
        return f"{versions} {device}" if self.compute is usual else f"{versions} {device} {self.compute}"

    @property
    def memory_limit(self) -> int:
        return memory_limit()

    def locate(self, model: Path | str) -> Path:
        return locate(model)

    def convert(self, source: Path, target: Path, sink: Sink) -> Converted:
        with _computing("conversion"):
            return convert(source, target, sink)

    def describe(self, model: Path) -> ModelInfo:
        return describe(model)

    def tokenizer(
        self, model: Path, day: date | None = None, options: Mapping[str, object] | None = None
    ) -> MlxTokenizer:
        return MlxTokenizer(model, read_config(model).get("eos_token_id"), day, options)

    def require_trainable(self, model: Path, train: TrainSpec, fuse: FuseSpec) -> None:
        loaded = load(model, self.compute, lazy=True).model
        attach(loaded, train)
        require_gradient(loaded)
        require_room_for_training(loaded)
        require_fusable(loaded, model, fuse)

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        with _computing("generation"):
            loaded = load(job.model, self.compute)
            return generate(loaded.model, loaded.tokenizer, job, sink, ended=ended)

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        with self.answering(job.model) as held:
            return held.verify(job, sink)

    @contextmanager
    def answering(self, model: Path) -> Iterator[Answering]:
        with _computing("generation"):
            loaded = load(model, self.compute)
        verifier = Verifier(loaded, model, self.compute, self.name)
        yield HeldModel(loaded, verifier.verify, partial(_computing, "generation"))

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        with _computing("training"):
            return train(job, sink, self.compute, by=self.name)

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        loaded = load(model, self.compute, lazy=True).model
        adopt(loaded, source, target)
        require_fusable(loaded, model, None)

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        with _computing("fusing"):
            return fuse(job, sink, self.compute)

    def rebuild(self, job: RebuildJob, sink: Sink) -> None:
        with _computing("fusing"):
            rebuild(job, sink, Compute(job.computed) if job.computed else self.compute)


def on_cuda() -> bool:
    """True if MLX computes on a CUDA GPU."""
    return not on_cpu() and bool(mx.cuda.is_available())


@contextmanager
def _computing(what: str) -> Iterator[None]:
    """MLX as this device needs it. Raises EngineFault for an error of MLX itself, such as a lack of memory."""
    try:
        with quick(), wired(), experts.replacing() if on_cuda() else nullcontext():
            yield
    except (RuntimeError, MemoryError) as error:
        said = " ".join(str(error).split())
        # MLX compiles kernels with the headers of CUDA's packages. NVIDIA ships a part of those of CUDA 13 by itself.
        lacks_headers = "cannot open source file" in said
        hint = 'pip install "nvidia-cuda-crt==13.*"' if lacks_headers else None
        raise EngineFault(f"{what} failed: {said}", hint=hint) from error
