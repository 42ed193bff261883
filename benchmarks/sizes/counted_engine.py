"""An engine that trains nothing: it says what was counted, as if it had measured it. The estimate does the rest."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sizes.memory import Way, memory
from benchmarks.sizes.operations import trunk_operations, update_operations
from benchmarks.sizes.shapes import BITS, Shape
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import ModelInfo, Row, TrainJob
from topcoat.progress import Sink
from topcoat.store.records import TrainReport, TrainStep

__all__ = ["RATE", "CountedEngine"]

RATE = 1e12
"""Operations a second."""

_COPIES = 4
"""Of the adapter on disk: its own file, and a checkpoint's, with two states of the optimizer for each number."""


class CountedEngine(FakeEngine):
    """A machine that makes 1e12 operations a second, with a model of a shape, computed in a way."""

    def __init__(self, shape: Shape, way: Way) -> None:
        self.become(shape, way)

    def become(self, shape: Shape, way: Way) -> None:
        """Go on as a machine with another model. What was estimated for the earlier one isn't read back."""
        self.shape, self.way = shape, way
        self.name = f"counted {shape.model} {way.name}"

    def describe(self, model: Path) -> ModelInfo:
        """The shape's."""
        return ModelInfo(
            architecture="qwen3",
            num_layers=self.shape.layers,
            hidden_size=self.shape.hidden,
            bits=BITS,
            digest=self.shape.model,
            size=self.shape.stored,
        )

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        """What training would take. The files are as large as they would be, and empty."""
        shape, adapted, accumulate = self.shape, job.spec.num_layers, job.spec.grad_accumulation_steps
        different = {index for batch in job.batches for index in batch}
        trunk = sum(trunk_operations(shape, len(job.rows[index].tokens), adapted) for index in different)
        states = sum(len(job.rows[index].tokens) - 1 for index in different) * shape.hidden * self.way.bytes_of_states
        _empty(job.cache / "states", states)
        _empty(job.folder / "adapter", _COPIES * 4 * adapted * shape.adapter)
        updates = [job.batches[at : at + accumulate] for at in range(0, len(job.batches), accumulate)]
        steps = [
            TrainStep(
                update=number,
                iteration=number * accumulate,
                loss=0.0,
                grad_norm=0.0,
                learning_rate=job.learning_rate,
                tokens=0,
                seconds=sum(self._seconds(job.rows[index], adapted) for batch in update for index in batch),
            )
            for number, update in enumerate(updates, 1)
        ]
        rows = [[len(job.rows[index].tokens) for batch in update for index in batch] for update in updates]
        return TrainReport(
            steps=steps,
            validations=[],
            best_update=0,
            best_loss=None,
            stopped="iterations",
            trained_tokens=0,
            seconds=0.0,
            trunk_seconds=trunk / RATE,
            peak_memory=max(
                memory(
                    shape, self.way, adapted, update, _completion_of(job.rows[0]), recompute=job.spec.grad_checkpoint
                )
                for update in rows
            ),
        )

    def _seconds(self, row: Row, adapted: int) -> float:
        return update_operations(self.shape, len(row.tokens), _completion_of(row), adapted) / RATE


def _completion_of(row: Row) -> int:
    """The tokens from the first trained one to the last."""
    places = row.trained.nonzero()[0]
    return int(places[-1] - places[0]) + 1


def _empty(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
