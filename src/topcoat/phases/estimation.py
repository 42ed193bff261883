"""Estimates the cost of a phase on this machine. It trains a few of the phase's updates once and stores their cost.

The estimate counts the trunk, the updates and the validations of one attempt, and the evaluation of its model. It
doesn't count fusing, which is short, or a second attempt. Time and disk are assumed to be proportional to tokens. Guard
cases are drawn and counted, and take as long as the suite's cases did.

Training a row that is too long for the memory may end the process. So a long one is cut to an eighth, a quarter and a
half first, and what it takes as a whole follows from these three.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

from topcoat.engine.protocol import Batch, Row, TrainJob
from topcoat.phases.drawing import CHOOSING, draws_guard_cases
from topcoat.phases.preparation import Prepared
from topcoat.progress import Note, Silent
from topcoat.project.session import Session
from topcoat.spec.canonical import digest_of
from topcoat.spec.phase import TrainSpec
from topcoat.store.files import read_record, write_json
from topcoat.store.records import Estimate, EvalResult, GuardCost, Record, RowCost
from topcoat.suites.evidence.noninferiority import fewest_cases

__all__ = ["LONG", "estimate"]

R = TypeVar("R", bound=Record)
Update = Sequence[Batch]

UPDATES = 5
"""The number of measured updates. The first one has the longest row: it warms up and needs the most memory."""
FORWARD = 1 / 3
"""The work of a validation relative to an update on the same tokens. A validation has no backward pass."""
VERIFIED = 0.65
"""The time to verify an answer relative to generating it (docs/performance.md)."""
LONG = 4096
"""A row with more tokens is trained in parts first."""


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


class _Drawn(Record):
    """The number of guard cases that can be drawn of each category."""

    cases: dict[str, int]


def estimate(session: Session, prepared: Prepared) -> Estimate:
    """Time, memory and disk of one attempt. Raises what the engine raises.

    It trains `UPDATES` updates in a temporary folder, once for each phase, model and engine. If the longest row is
    known not to fit, it trains parts of that row alone.
    """
    model = session.model(prepared.base)
    key = digest_of([session.engine.name, model.digest, prepared.digest])
    limit = session.engine.memory_limit
    row = _stored(session, digest_of([key, "row"]), RowCost, lambda: _row_cost(session, prepared, model.path))
    needed = row.recomputed if prepared.spec.train.grad_checkpoint else row.kept
    if limit is not None and needed is not None and needed > limit:
        return Estimate(seconds=None, evaluation_seconds=None, memory=needed, memory_limit=limit, disk=0, row=row)
    measured = _stored(session, key, _Measured, lambda: _measure(session, prepared, model.path))
    spec = prepared.spec.train
    batches = next(iter(prepared.batches.values()))
    runs = len(prepared.batches) * len(spec.learning_rates)
    used = {index for batch in batches for index in batch}
    guarded = _guard_tokens(prepared)
    kept = _tokens([*(prepared.rows[index] for index in used), *prepared.valid]) + guarded
    trained = _tokens(prepared.rows[index] for batch in batches for index in batch)
    held = prepared.valid if spec.val_batches < 0 else prepared.valid[: spec.val_batches * spec.batch_size]
    validated = (_tokens(held) + guarded) * (1 + -(-spec.iters // spec.steps_per_eval))
    evaluation = _last_evaluation(session, model.name)
    return Estimate(
        seconds=measured.fixed_seconds
        + kept * measured.trunk_seconds
        + runs * (trained + FORWARD * validated) * measured.train_seconds,
        evaluation_seconds=evaluation.seconds if evaluation else None,
        memory=measured.peak_memory,
        memory_limit=limit,
        disk=round(kept * measured.trunk_bytes)
        + runs * measured.folder_bytes
        + session.engine.describe(model.path).size,
        row=_with_measured(row, prepared.spec.train, measured.peak_memory),
        guard=_guard_cost(session, prepared, key, evaluation) if draws_guard_cases(prepared.spec) else None,
    )


def _last_evaluation(session: Session, model: str) -> EvalResult | None:
    """The last evaluation of a model on a whole suite with this engine."""
    results = [row.result for row in session.lineage.evaluations() if row.model == model]
    whole = [result for result in results if not result.reserve and result.engine in ("", session.engine.name)]
    return whole[-1] if whole else None


def _guard_tokens(prepared: Prepared) -> int:
    """About the tokens of the guard rows that adapters are chosen by, if each is as long as a validation row."""
    if not prepared.valid or not draws_guard_cases(prepared.spec):
        return 0
    rows = CHOOSING * len(prepared.spec.gate.categories)
    return round(rows * _tokens(prepared.valid) / len(prepared.valid))


def _guard_cost(session: Session, prepared: Prepared, key: str, evaluation: EvalResult | None) -> GuardCost:
    """How many guard cases there are to draw, and what one takes if it takes as long as a case of the suite."""
    gate, guard = prepared.spec.gate, prepared.spec.guard

    def drawn() -> _Drawn:
        pool = prepared.guard_pool()
        return _Drawn(
            cases={name: sum(1 for _ in islice(pool.draw(name, key), guard.most)) for name in gate.categories}
        )

    each = evaluation.seconds / len(evaluation.scores) * (1 + VERIFIED) if evaluation and evaluation.scores else None
    return GuardCost(
        drawn=_stored(session, digest_of([key, "guard"]), _Drawn, drawn).cases,
        first=guard.cases,
        most=guard.most,
        needed=fewest_cases(gate.margin, gate.alpha),
        seconds_each=each,
        reworded=guard.reworded,
    )


def _stored(session: Session, key: str, kind: type[R], measure: Callable[[], R]) -> R:
    """What was measured before under `key`, else what `measure` finds."""
    path = session.paths.measured(key)
    if path.is_file():
        return read_record(path, kind)
    measured = measure()
    write_json(path, measured)
    return measured


def _row_cost(session: Session, prepared: Prepared, model: Path) -> RowCost:
    """What the longest row takes, from shorter ones; nothing but its tokens if it isn't long."""
    longest = max(len(prepared.rows[index].tokens) for batch in _updates(prepared)[0] for index in batch)
    if longest <= LONG:
        return RowCost(tokens=longest)
    session.sink.emit(Note(f"measuring parts of the longest row, of {longest:,} tokens, on this machine"))

    def doubled(recompute: bool) -> int:
        eighth, quarter, half = (_peak(session, prepared, model, longest // part, recompute) for part in (8, 4, 2))
        return _next(eighth, quarter, half)

    return RowCost(tokens=longest, kept=doubled(False), recomputed=doubled(True))


def _next(first: int, second: int, third: int) -> int:
    """What follows `first`, `second` and `third`, which belong to lengths that double.

    What a doubling adds itself doubles where memory grows with the length, and is four times as much where it grows
    with its square.
    """
    earlier, last = second - first, max(0, third - second)
    growth = min(4.0, max(2.0, last / earlier)) if earlier > 0 else 2.0
    return round(third + growth * last)


def _with_measured(row: RowCost, spec: TrainSpec, peak: int) -> RowCost:
    own: Literal["kept", "recomputed"] = "recomputed" if spec.grad_checkpoint else "kept"
    return row.model_copy(update={own: peak or None, "measured": [own] if peak else []})


def _peak(session: Session, prepared: Prepared, model: Path, most: int, recompute: bool) -> int:
    """The most bytes while the update with the longest row is trained, with all rows cut to `most` tokens."""
    rows = [_cut(row, most) for row in prepared.rows]
    with tempfile.TemporaryDirectory() as folder:
        job = _job(prepared, model, rows, _updates(prepared)[:1], Path(folder), recompute)
        return session.engine.train(job, Silent()).peak_memory


def _cut(row: Row, most: int) -> Row:
    """The first `most` tokens, of which those are trained that are so among the last `most`."""
    if len(row.tokens) <= most:
        return row
    trained = row.trained[-most:].copy()
    trained[0] = False
    return replace(row, tokens=row.tokens[:most], trained=trained)


def _updates(prepared: Prepared) -> list[Update]:
    """The updates to measure: first the one with the longest row."""
    accumulate = prepared.spec.train.grad_accumulation_steps
    batches = next(iter(prepared.batches.values()))
    updates = [batches[at : at + accumulate] for at in range(0, len(batches) - accumulate + 1, accumulate)]

    def size(update: Update) -> tuple[int, int]:
        lengths = [len(prepared.rows[index].tokens) for batch in update for index in batch]
        return max(lengths), sum(lengths)

    return [max(updates, key=size), *updates[: UPDATES - 1]]


def _job(
    prepared: Prepared, model: Path, rows: list[Row], updates: Sequence[Update], here: Path, recompute: bool
) -> TrainJob:
    spec = prepared.spec.train
    changes = {"warmup": 0, "seed": next(iter(prepared.batches)), "grad_checkpoint": recompute}
    batches = [batch for update in updates for batch in update]
    return TrainJob(
        model=model,
        rows=rows,
        batches=batches,
        valid=[],
        spec=spec.model_copy(update={**changes, "iters": len(batches)}),
        learning_rate=min(spec.learning_rates),
        folder=here / "run",
        cache=here / "cache",
    )


def _measure(session: Session, prepared: Prepared, model: Path) -> _Measured:
    session.sink.emit(Note(f"measuring {UPDATES} updates of {prepared.name} on this machine"))
    updates = _updates(prepared)
    sizes = [_tokens(prepared.rows[index] for batch in update for index in batch) for update in updates]
    with tempfile.TemporaryDirectory() as folder:
        recompute = prepared.spec.train.grad_checkpoint
        job = _job(prepared, model, prepared.rows, updates, Path(folder), recompute)
        started = time.perf_counter()
        report = session.engine.train(job, Silent())
        seconds = time.perf_counter() - started
        trunk = report.trunk_seconds
        kept = _tokens(prepared.rows[index] for index in {i for batch in job.batches for i in batch})
        steps = list(zip(report.steps, sizes, strict=True))[1:] or list(zip(report.steps, sizes, strict=True))
        return _Measured(
            trunk_seconds=trunk / kept,
            train_seconds=median(step.seconds / size for step, size in steps),
            trunk_bytes=_size(job.cache) / kept,
            fixed_seconds=max(0.0, seconds - trunk - sum(step.seconds for step in report.steps)),
            folder_bytes=_size(job.folder),
            peak_memory=report.peak_memory,
        )


def _tokens(rows: Iterable[Row]) -> int:
    return sum(len(row.tokens) for row in rows)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
