"""Short training runs, and killing them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.mlx.rows import rows
from topcoat.engine.protocol import TrainJob
from topcoat.progress import Advanced, Event
from topcoat.spec.phase import TrainSpec

__all__ = ["SPEC", "KillAt", "Killed", "job"]

SPEC = TrainSpec(
    iters=12, batch_size=2, grad_accumulation_steps=2, num_layers=2, steps_per_eval=4, save_every=4, patience=0
)


def job(model: Path, folder: Path, spec: TrainSpec = SPEC, rate: float = 1e-3) -> TrainJob:
    rng = np.random.default_rng(1)
    data = rows(12)
    batches = [tuple(int(i) for i in rng.choice(9, spec.batch_size, replace=False)) for _ in range(spec.iters)]
    return TrainJob(model, data, batches, data[9:], spec, rate, folder, folder / "cache")


class Killed(BaseException):
    """Stands for the process going away."""


class KillAt:
    """A sink that kills the run when `update` is reported."""

    def __init__(self, update: int) -> None:
        self.update = update

    def emit(self, event: Event) -> None:
        if isinstance(event, Advanced) and event.done == self.update:
            raise Killed
