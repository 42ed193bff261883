"""The engine's protocol, served by MLX."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import date
from functools import partial
from pathlib import Path

import mlx.core as mx

from topcoat.engine.mlx.compute import Compute, rounds_to_tf32
from topcoat.engine.mlx.cpu.quicken import on_cpu, quick
from topcoat.engine.mlx.cuda import experts
from topcoat.engine.mlx.export.export import export
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
from topcoat.engine.mlx.ranks.answering import SharedAnswering
from topcoat.engine.mlx.ranks.group import ALONE, Ranks
from topcoat.engine.mlx.ranks.messages import train_message
from topcoat.engine.mlx.train.loop import train
from topcoat.engine.mlx.verify.verify import Verifier
from topcoat.engine.protocol import (
    Answering,
    Converted,
    Ended,
    ExportJob,
    FuseJob,
    GenerateJob,
    ModelInfo,
    RebuildJob,
    TrainJob,
    Verified,
    VerifyJob,
    ignore,
)
from topcoat.errors import EngineFault, InvalidInput, NumericalFault, TopcoatError
from topcoat.progress import Note, Silent, Sink
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.store.records import Completion, ExportReport, FuseReport, TrainReport

__all__ = ["MlxEngine", "on_cuda"]


class MlxEngine:
    """Loads a model for each job and drops it afterwards: what a job computes depends on the job alone.

    Trainings and answers are shared with the other `ranks`. `sink` learns of what they can't take part in.
    """

    def __init__(self, compute: Compute, ranks: Ranks = ALONE, sink: Sink | None = None) -> None:
        self.compute = compute
        self.on_cpu = on_cpu()
        self.ranks = ranks
        self._sink = sink or Silent()
        self._others_wait = True
        """Whether the other ranks wait for the next job, as far as this one knows."""

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
        if self.ranks.size > 1:
            with self.answering(job.model) as held:
                return held.generate(job, sink, ended)
        with _computing("generation"):
            loaded = load(job.model, self.compute)
            return generate(loaded.model, loaded.tokenizer, job, sink, ended=ended)

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        with self.answering(job.model) as held:
            return held.verify(job, sink)

    @contextmanager
    def answering(self, model: Path) -> Iterator[Answering]:
        shared = self.ranks.size > 1
        problem = self._told({"do": "hold", "model": str(model)}) if shared else ""
        if problem:
            self._sink.emit(Note(f"answers are asked of this rank alone: {problem}", warning=True))
        with self.holding(model) as held:
            if not shared or problem:
                yield held
                return
            self._others_wait = False
            yield SharedAnswering(held, self.ranks)
            self.ranks.told({"do": "release"})
            self._others_wait = True

    @contextmanager
    def holding(self, model: Path) -> Iterator[Answering]:
        """The model, held by this rank."""
        with _computing("generation"):
            loaded = load(model, self.compute)
        verifier = Verifier(loaded, model, self.compute, self.name)
        yield HeldModel(loaded, verifier.verify, partial(_computing, "generation"))

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        if self.ranks.size == 1:
            return self.train_together(job, sink)
        told = {"do": "train", "model": str(job.model), "job": train_message(job)}
        if problem := self._told(told):
            raise InvalidInput(
                problem, hint=f"the model at the same path on every host: rsync -a {job.model}/ HOST:{job.model}/"
            )
        self._others_wait = False
        try:
            report = self.train_together(job, sink)
        except NumericalFault:
            self._others_wait = True  # they have it, too
            raise
        self._others_wait = True
        return report

    def train_together(self, job: TrainJob, sink: Sink) -> TrainReport:
        """Train as one of the ranks. All of them are given the same job."""
        with _computing("training"):
            return train(job, sink, self.compute, by=self.name, ranks=self.ranks)

    def dismiss(self) -> None:
        """Let the other ranks end, if they wait."""
        if self._others_wait:
            with suppress(TopcoatError):
                self.ranks.told({"do": "end"})

    def _told(self, message: Mapping[str, object]) -> str:
        """Tell the other ranks of a job with a model. Why one of them can't take part; "" if all can."""
        model = Path(str(message["model"]))
        self.ranks.told({**message, "digest": describe(model).digest})
        problems = self.ranks.gathered("")
        return "; ".join(
            f"rank {member.rank} on {member.host}: {problem}"
            for member, problem in zip(self.ranks.members, problems, strict=True)
            if problem
        )

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

    def export(self, job: ExportJob, sink: Sink) -> ExportReport:
        with _computing("export"):
            return export(job, sink)


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
