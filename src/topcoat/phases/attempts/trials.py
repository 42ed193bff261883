"""An attempt's training: one trial for each learning rate and seed. The attempt continues with the best trial."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from topcoat.engine.protocol import Row, TrainJob
from topcoat.errors import NumericalFault
from topcoat.phases.preparation import Prepared
from topcoat.progress import Note
from topcoat.project.session import Session
from topcoat.store.files import staged_folder
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import TrainReport, Trial
from topcoat.store.seal import Origin, ResultFolder

__all__ = ["train_trials"]


def train_trials(
    session: Session,
    prepared: Prepared,
    model: Path,
    rates: list[float],
    paths: AttemptPaths,
    made_from: Origin,
    guard: Sequence[Row] = (),
) -> TrainReport:
    """Leave an adapter in `paths.adapter`: that of the only trial, or of the trial with the lowest loss.

    That is its loss on the validation rows and on the rows of `guard` together.

    All trials share the trunk's activations. A trial whose numbers overflow is dropped. Raises NumericalFault if all
    are. `made_from` is the attempt's origin.
    """
    shutil.rmtree(paths.adapter, ignore_errors=True)  # left by a killed run without a stored report
    runs = list(product(rates, prepared.batches))
    if len(runs) == 1:
        return _train(session, prepared, model, *runs[0], paths, guard)
    trials: list[Trial] = []
    reports: dict[int, TrainReport] = {}
    for number, (rate, seed) in enumerate(runs):
        own = paths.trial(rate, seed)
        session.sink.emit(Note(f"trial {number + 1} of {len(runs)}: learning rate {rate:g}, seed {seed}"))
        try:
            folder = ResultFolder(own.folder, {**made_from, "learning_rate": rate, "seed": seed}, session.sink)
            report = folder.stored(
                own.train_report,
                TrainReport,
                partial(_train, session, prepared, model, rate, seed, own, guard),
                beside=own.adapter,
            )
        except NumericalFault as fault:
            trials.append(Trial(learning_rate=rate, seed=seed, failure=fault.message))
        else:
            trials.append(Trial(learning_rate=rate, seed=seed, best_loss=report.best_loss))
            reports[number] = report
    if not reports:
        raise NumericalFault(f"every trial failed; the last: {trials[-1].failure}")
    # `prepare` refuses several trials without validation rows, so every report has a loss.
    losses = {number: report.best_loss for number, report in reports.items() if report.best_loss is not None}
    best = min(losses, key=lambda number: (losses[number], number))
    with staged_folder(paths.adapter) as staged:
        shutil.copytree(paths.trial(*runs[best]).adapter, staged, dirs_exist_ok=True)
    session.sink.emit(
        Note(
            f"trial {best + 1} goes on: learning rate {runs[best][0]:g}, seed {runs[best][1]}; "
            f"{'validation and guard' if guard else 'validation'} losses "
            f"{min(losses.values()):.4f} to {max(losses.values()):.4f}"
        )
    )
    chosen = [trial.model_copy(update={"chosen": number == best}) for number, trial in enumerate(trials)]
    return reports[best].model_copy(update={"trials": chosen})


def _train(
    session: Session,
    prepared: Prepared,
    model: Path,
    rate: float,
    seed: int,
    paths: AttemptPaths,
    guard: Sequence[Row],
) -> TrainReport:
    shutil.rmtree(paths.adapter, ignore_errors=True)  # left by a killed run without a stored report
    job = TrainJob(
        model=model,
        rows=prepared.rows,
        batches=prepared.batches[seed],
        valid=prepared.valid,
        spec=prepared.spec.train.model_copy(update={"seed": seed}),
        learning_rate=rate,
        folder=paths.folder,
        cache=session.paths.trunk_cache,
        guard=guard,
    )
    return session.engine.train(job, session.sink)
