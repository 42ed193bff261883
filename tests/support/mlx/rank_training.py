"""`python -m tests.support.mlx.rank_training MODEL FOLDER CACHE [UPDATES]`: one training, for tests of ranks.

The first rank prints the report's losses. With UPDATES, the last rank is killed after so many updates.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.support.mlx.rows import with_prefix
from topcoat.engine.mlx import open_engine, worker
from topcoat.engine.mlx.train import loop
from topcoat.engine.protocol import TrainJob
from topcoat.progress import Silent
from topcoat.spec.phase import LoraSpec, TrainSpec

__all__ = ["UPDATES"]

UPDATES = 6


def job(model: Path, folder: Path, cache: Path) -> TrainJob:
    """Updates of two micro-batches of two rows; validation after every second update."""
    rows = with_prefix(8)
    spec = TrainSpec(
        iters=2 * UPDATES,
        batch_size=2,
        grad_accumulation_steps=2,
        num_layers=2,
        steps_per_eval=4,
        save_every=2,
        patience=0,
        lora=LoraSpec(rank=4),
    )
    batches = [(number % 5, (number + 2) % 5) for number in range(2 * UPDATES)]
    return TrainJob(model, rows, batches, rows[:3], spec, 1e-3, folder, cache, guard=rows[3:])


def die_after(updates: int) -> None:
    """Kill this process when it has made so many updates."""
    stock = vars(loop)["learning_rate"]

    def counted(spec: TrainSpec, rate: float, update: int, of: int) -> float:
        if update > updates:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(stock(spec, rate, update, of))

    vars(loop)["learning_rate"] = counted


def main() -> None:
    model, folder, cache, *rest = sys.argv[1:]
    engine = open_engine(Silent())
    if rest and engine.ranks.rank == engine.ranks.size - 1:
        die_after(int(rest[0]))
    if not engine.ranks.first:
        worker.work(engine)
        return
    report = engine.train(job(Path(model), Path(folder), Path(cache)), Silent())
    print(json.dumps([step.loss for step in report.steps]))


if __name__ == "__main__":
    main()
