"""Estimates the cost of a phase on this machine. It trains a few of the phase's updates once and stores their cost.

The estimate counts the trunk, the updates and the validations of one attempt, and the evaluation of its model. It
doesn't count fusing, which is short, or a second attempt. Time and disk are assumed to be proportional to tokens.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from topcoat.engine.protocol import Row, TrainJob
from topcoat.phases.preparation import Prepared
from topcoat.progress import Note, Silent
from topcoat.project.session import Session
from topcoat.spec.canonical import digest_of
from topcoat.store.files import read_record, write_json
from topcoat.store.records import Estimate, Record

__all__ = ["estimate"]

UPDATES = 5
"""The number of measured updates. The first one has the most tokens: it warms up and needs the most memory."""
FORWARD = 1 / 3
"""The work of a validation relative to an update on the same tokens. A validation has no backward pass."""


class _Measured(Record):
    """Costs per token: seconds of the trunk and of training, bytes of the trunk's cache.

    `fixed_seconds` is the remaining time. `folder_bytes` is the size of adapter and checkpoints.
    """

    version: Literal[1] = 1
    trunk_seconds: float
    train_seconds: float
    trunk_bytes: float
    fixed_seconds: float
    folder_bytes: int
    peak_memory: int


def estimate(session: Session, prepared: Prepared) -> Estimate:
    """Time, memory and disk of one attempt. Raises what the engine raises.

    It trains `UPDATES` updates in a temporary folder, once for each phase, model and engine.
    """
    model = session.model(prepared.base)
    key = digest_of([session.engine.name, model.digest, prepared.digest])
    path = session.paths.measured(key)
    if path.is_file():
        measured = read_record(path, _Measured)
    else:
        session.sink.emit(Note(f"measuring {UPDATES} updates of {prepared.name} on this machine"))
        measured = _measure(session, prepared, model.path)
        write_json(path, measured)
    spec = prepared.spec.train
    batches = next(iter(prepared.batches.values()))
    runs = len(prepared.batches) * len(spec.learning_rates)
    used = {index for batch in batches for index in batch}
    kept = _tokens([*(prepared.rows[index] for index in used), *prepared.valid])
    trained = _tokens(prepared.rows[index] for batch in batches for index in batch)
    held = prepared.valid if spec.val_batches < 0 else prepared.valid[: spec.val_batches * spec.batch_size]
    validated = _tokens(held) * (1 + -(-spec.iters // spec.steps_per_eval))
    evaluations = [row.result for row in session.lineage.evaluations() if row.model == model.name]
    whole = [
        result.seconds for result in evaluations if not result.reserve and result.engine in ("", session.engine.name)
    ]
    return Estimate(
        seconds=measured.fixed_seconds
        + kept * measured.trunk_seconds
        + runs * (trained + FORWARD * validated) * measured.train_seconds,
        evaluation_seconds=whole[-1] if whole else None,
        memory=measured.peak_memory,
        memory_limit=session.engine.memory_limit,
        disk=round(kept * measured.trunk_bytes)
        + runs * measured.folder_bytes
        + session.engine.describe(model.path).size,
    )


def _measure(session: Session, prepared: Prepared, model: Path) -> _Measured:
    accumulate = prepared.spec.train.grad_accumulation_steps
    batches = next(iter(prepared.batches.values()))
    updates = [batches[at : at + accumulate] for at in range(0, len(batches) - accumulate + 1, accumulate)]

    def tokens(update: Sequence[tuple[int, ...]]) -> int:
        return _tokens(prepared.rows[index] for batch in update for index in batch)

    chosen = [max(updates, key=tokens), *updates[: UPDATES - 1]]
    spec = prepared.spec.train.model_copy(
        update={"iters": len(chosen) * accumulate, "warmup": 0, "seed": next(iter(prepared.batches))}
    )
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        job = TrainJob(
            model=model,
            rows=prepared.rows,
            batches=[batch for update in chosen for batch in update],
            valid=[],
            spec=spec,
            learning_rate=min(spec.learning_rates),
            folder=here / "run",
            cache=here / "cache",
        )
        started = time.perf_counter()
        report = session.engine.train(job, Silent())
        seconds = time.perf_counter() - started
        trunk = report.trunk_seconds
        kept = _tokens(prepared.rows[index] for index in {i for batch in job.batches for i in batch})
        steps = list(zip(report.steps, chosen, strict=True))[1:] or list(zip(report.steps, chosen, strict=True))
        return _Measured(
            trunk_seconds=trunk / kept,
            train_seconds=median(step.seconds / tokens(update) for step, update in steps),
            trunk_bytes=_size(job.cache) / kept,
            fixed_seconds=max(0.0, seconds - trunk - sum(step.seconds for step in report.steps)),
            folder_bytes=_size(job.folder),
            peak_memory=report.peak_memory,
        )


def _tokens(rows: Iterable[Row]) -> int:
    return sum(len(row.tokens) for row in rows)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
