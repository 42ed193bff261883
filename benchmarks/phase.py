"""Times training steps of the embedded project beside mlx-lm's own loop, on the same model, rows and batches.

    python benchmarks/phase.py [--updates 24] [--json FILE]

Both sides run in this process, in turns, with the same BLAS, on the embedded base dequantized to float32. mlx-lm's
`train` is the installed one, unmodified; the batches are handed to it, with the padding token that its loss would train
masked out, so that both train the same tokens and the losses can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from topcoat.engine.mlx import open_engine
from topcoat.progress import Silent

ENGINE = open_engine(Silent())

import mlx.core as mx  # noqa: E402  # after the fast BLAS
import mlx.optimizers as optimizers  # noqa: E402
from mlx_lm.tuner import trainer  # noqa: E402
from mlx_lm.tuner.callbacks import TrainingCallback  # noqa: E402

from topcoat.demo import TEMPLATE  # noqa: E402
from topcoat.engine.base import TrainJob  # noqa: E402
from topcoat.engine.mlx.lora import attach  # noqa: E402
from topcoat.engine.mlx.loss import batch_arrays  # noqa: E402
from topcoat.engine.mlx.model import load  # noqa: E402
from topcoat.spec.phase import TrainSpec  # noqa: E402
from topcoat.workflow import open_workspace, prepare  # noqa: E402

ROUNDS = 3


class Losses(TrainingCallback):  # type: ignore[misc]  # mlx-lm is untyped
    """Keeps what mlx-lm reports after each iteration."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.ends: list[float] = []

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        self.losses.append(train_info["train_loss"])
        self.ends.append(time.perf_counter())


def stock(job: TrainJob, folder: Path) -> tuple[list[float], list[float]]:
    """Losses and seconds of each iteration of mlx-lm's `train`."""
    model = load(job.model).model
    mx.random.seed(job.spec.seed << 32)  # as topcoat seeds the adapters
    attach(model, job.spec)
    report = Losses()

    def batches(**_: object) -> Iterator[tuple[mx.array, mx.array]]:
        for batch in job.batches:
            rows = [job.rows[index] for index in batch]
            tokens, _weights = batch_arrays(rows)
            spans = [(int(row.trained.argmax()), len(row.tokens) - 1) for row in rows]
            yield tokens, mx.array(spans)

    arguments = trainer.TrainingArgs(
        batch_size=job.spec.batch_size,
        iters=len(job.batches),
        steps_per_report=1,
        steps_per_save=10**9,
        adapter_file=str(folder / "adapters.safetensors"),
    )
    begin = time.perf_counter()
    trainer.train(
        model,
        optimizers.Adam(job.learning_rate),
        [],
        None,
        arguments,
        iterate_batches=batches,
        training_callback=report,
    )
    ends = [begin, *report.ends]
    return report.losses, [end - start for start, end in pairwise(ends)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "project"
        shutil.copytree(TEMPLATE, project)
        with open_workspace(project, ENGINE, Silent(), "bench") as workspace:
            prepared = prepare(workspace, project / "phases" / "phase34a.toml")
            model = workspace.model("production").path
        size = prepared.spec.train.batch_size
        # One assistant turn a row, so that mlx-lm's mask can say what is trained; as many rows as the first half takes.
        single = [i for i, row in enumerate(prepared.rows) if _one_span(row.trained)][: size * options.updates // 2]
        batches = [tuple(single[(k * size + j) % len(single)] for j in range(size)) for k in range(options.updates)]
        spec = TrainSpec(
            iters=options.updates, batch_size=size, grad_accumulation_steps=1, num_layers=4, patience=0, val_batches=1
        )
        ours: list[float] = []
        theirs: list[float] = []
        difference = trunk = 0.0
        for round_number in range(ROUNDS):
            job = TrainJob(
                model,
                prepared.rows,
                batches,
                [],
                spec,
                1e-3,
                Path(scratch) / str(round_number),
                Path(scratch) / str(round_number) / "cache",
            )
            report = ENGINE.train(job, Silent())
            losses, seconds = stock(job, Path(scratch))
            half = options.updates // 2  # the first half also runs the trunk, once a row
            trunk += sum(step.seconds for step in report.steps[:half])
            ours += [step.seconds for step in report.steps[half:]]
            theirs += seconds[half:]
            difference = max(difference, *(abs(a.loss - b) / abs(b) for a, b in zip(report.steps, losses, strict=True)))
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, {ENGINE.name}",
        "updates": options.updates,
        "rounds": ROUNDS,
        "topcoat_seconds_per_update": statistics.median(ours),
        "topcoat_seconds_of_the_trunk": max(0.0, trunk / ROUNDS - statistics.median(ours) * (options.updates // 2)),
        "mlx_lm_seconds_per_update": statistics.median(theirs),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "largest_relative_difference_of_losses": difference,
    }
    for key, value in result.items():
        print(f"{key:40} {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def _one_span(trained: Any) -> bool:
    positions = trained.nonzero()[0]
    return bool(len(positions) and positions[-1] - positions[0] + 1 == len(positions))


if __name__ == "__main__":
    main()
