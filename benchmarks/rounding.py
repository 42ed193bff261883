"""Rounding to nearest beside error-compensated rounding, at equal bits, and at the bits that "auto" takes with each.

    python -m benchmarks.rounding

The embedded model takes adapters that were trained for a few updates at a small rate and for more at a usual one. A
random model 1,024 wide on the 5-bit grid, whose inputs have little in common, takes a delta of 1%. Calibration rows are
training rows; KL (from base + adapter, nats per token) and loss are measured on validation rows.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import layering
from topcoat.demo import TEMPLATE
from topcoat.engine.protocol import FuseJob, Row, TrainJob
from topcoat.errors import FuseRefused
from topcoat.phases.attempts.calibration import choose_calibration
from topcoat.phases.preparation import prepare
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.spec.phase import FuseSpec
from topcoat.store.seal import ResultFolder

ENGINE = layering.ENGINE
ADAPTERS = ((20, 1e-4), (60, 4e-4))
"""Updates and learning rate on the embedded model."""


def compare(title: str, base: Path, adapter: Path, rows: list[Row], valid: list[Row], scratch: Path) -> None:
    """One line for each number of bits and rounding."""
    print(f"\n{title}\n{'bits':>6}{'rounding':>13}{'KL':>10}{'loss':>8}{'survival: weights':>19}{'bits/weight':>13}")
    before, meant = layering.weights_of(base), layering.deltas_of(adapter)
    for bits in (4, 5, 6, "auto"):
        strict = {} if bits == "auto" else {"min_survival": 0.0, "max_kl": 100.0}
        spec = FuseSpec.model_validate({"bits": bits, **strict})
        for name, calibration in (("nearest", []), ("compensated", rows)):
            output = scratch / f"{adapter.parent.name}-{bits}-{name}"
            try:
                report = ENGINE.fuse(
                    FuseJob(base, base, [adapter], spec, valid, output, calibration=calibration), Silent()
                )
            except FuseRefused as refused:
                print(f"{bits:>6}{name:>13}  {refused.message}")
                continue
            kept = layering.survival(before, layering.weights_of(output), meant)
            line = f"{bits:>6}{name:>13}{report.kl:10.6f}{report.loss_fused or 0.0:8.4f}{kept:19.3f}"
            print(f"{line}{report.bits_per_weight:13.3f}", flush=True)


def random_model(scratch: Path) -> None:
    import mlx.core as mx

    root = layering.make_stack(scratch / "stack", layers=2, width=1024, bits=5, dtype=mx.float32)
    adapter = layering.make_adapter(root, scratch / "random" / "adapter", 0.01, seed=1)
    tokens = np.random.default_rng(0).integers(5, 2000, (72, 128), dtype=np.int32)
    rows = [Row(row, np.arange(128) > 0) for row in tokens]
    compare("random model, delta of 1%", root, adapter, rows[:64], rows[64:], scratch)


def embedded_model(scratch: Path) -> None:
    project = scratch / "project"
    shutil.copytree(TEMPLATE, project)
    with open_session(project, ENGINE, Silent(), "benchmark") as session:
        prepared = prepare(session, project / "phases" / "phase34a.toml")
        root = session.model("production").path
    batches = next(iter(prepared.batches.values()))
    for updates, rate in ADAPTERS:
        spec = prepared.spec.train.model_copy(
            update={"iters": updates, "warmup": 2, "steps_per_eval": updates, "learning_rate": rate}
        )
        folder = scratch / f"embedded-{updates}"
        job = TrainJob(
            root, prepared.rows, batches[:updates], prepared.valid, spec, rate, folder, scratch / "cache"
        )  # fmt: skip
        ENGINE.train(job, Silent())
        rows = choose_calibration(ResultFolder(scratch / f"rows-{updates}", {}, Silent()), prepared.rows)
        title = f"embedded model, {updates} updates at {rate:g}"
        compare(title, root, folder / "adapter", rows, prepared.valid, scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        embedded_model(Path(folder))
        random_model(Path(folder))
