"""Adopts an adapter that was trained elsewhere as an attempt of a phase: fuses, evaluates and judges it."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from topcoat.errors import InvalidInput, Refused, Where
from topcoat.phases.judging.evaluation import evaluate_model
from topcoat.phases.preparation import Prepared, prepare
from topcoat.phases.run import PhaseOutcome, end_phase, run_attempt
from topcoat.progress import Note
from topcoat.project.session import Session
from topcoat.spec.phase import copy_of_phase
from topcoat.store.files import digest_of, staged_folder
from topcoat.store.lineage import AttemptRow, PhaseRow
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import TrainReport
from topcoat.store.seal import Origin, file_digests
from topcoat.trackers.sending import Trackers

__all__ = ["adopt_adapter"]

NO_RATE = 0.0
"""The learning rate of an attempt that was trained elsewhere."""


def adopt_adapter(session: Session, path: Path, source: Path) -> PhaseOutcome:
    """Make the adapter in `source` (mlx-lm's or PEFT's format) an attempt of the phase in the file `path`.

    The phase's validation rows are used to compare the fused model, its training rows for compensated rounding only.
    Raises Refused for a phase that has promoted a model, InvalidInput for an adapter that doesn't fit the base.
    """
    if not source.is_dir():
        raise InvalidInput(
            f"no such folder: {source}", where=Where(source), hint="name the folder that holds adapter_config.json"
        )
    lineage = session.lineage
    earlier = lineage.latest_phase(path.stem)
    outcome = lineage.outcome(earlier.id) if earlier else None
    if earlier and outcome and outcome.kind == "promoted":
        copying, copy = copy_of_phase(path)
        raise Refused(
            f"{earlier.name} was promoted; what it was then can't be changed now",
            where=Where(path),
            hint=f"{copying} && topcoat adopt {copy} {shlex.quote(str(source))}",
        )
    if earlier and lineage.standing(earlier.id) == "awaiting":
        raise Refused(
            f"{earlier.name} awaits its canary; what it was when it passed its gate can't be changed now",
            where=Where(path),
            hint=f"topcoat serve tries it; topcoat run {earlier.name} --restart gives it up",
        )
    prepared = prepare(session, path, base=earlier.base if earlier and outcome is None else None, trained=False)
    base = session.model(prepared.base)
    with tempfile.TemporaryDirectory(dir=session.paths.state) as scratch:
        adapter = Path(scratch) / "adapter"
        session.engine.adopt(base.path, source, adapter)  # raises before an attempt begins if it isn't an adapter
        phase = _open_phase(session, earlier if outcome is None else None, prepared)
        return _judge(session, phase, prepared, source, adapter)


def _judge(session: Session, phase: PhaseRow, prepared: Prepared, source: Path, adapter: Path) -> PhaseOutcome:
    """One attempt with `adapter`, which was converted from `source`."""
    lineage = session.lineage
    base = session.model(phase.base)
    attempt = _open_attempt(session, phase)
    session.sink.emit(Note(f"attempt {attempt.number}: the adapter in {source}"))

    def get_adapter(paths: AttemptPaths, _: Origin) -> TrainReport:
        shutil.rmtree(paths.adapter, ignore_errors=True)  # left by a killed run without a stored report
        with staged_folder(paths.adapter) as staged:
            shutil.copytree(adapter, staged, dirs_exist_ok=True)
        return TrainReport(
            steps=[],
            validations=[],
            best_update=0,
            best_loss=None,
            stopped="iterations",
            trained_tokens=0,
            seconds=0.0,
            adopted=str(source),
        )

    made_from: Origin = {"adapter": digest_of(file_digests(adapter))}
    result = run_attempt(session, attempt, base, prepared, evaluate_model(session, base), made_from, get_adapter)
    lineage.add_result(attempt.id, result)
    Trackers(session).send([result])
    return end_phase(session, phase, [result])


def _open_phase(session: Session, begun: PhaseRow | None, prepared: Prepared) -> PhaseRow:
    """The phase that was begun with the same inputs, or a new one."""
    if begun and begun.digest == prepared.digest:
        return begun
    if begun:
        raise Refused(
            f"{begun.name} was begun with other inputs",
            where=Where(prepared.path),
            hint=f"topcoat run {begun.name} --restart",
        )
    return session.lineage.add_phase(
        prepared.name, prepared.spec, prepared.base, digest=prepared.digest, engine=session.engine.name
    )


def _open_attempt(session: Session, phase: PhaseRow) -> AttemptRow:
    """The attempt of an interrupted adoption, begun again, or a new one."""
    for attempt in session.lineage.attempts(phase.id):
        if attempt.learning_rate == NO_RATE and session.lineage.result(attempt.id) is None:
            shutil.rmtree(session.paths.attempt(phase.name, attempt.number).folder, ignore_errors=True)
            return attempt
    return session.lineage.add_attempt(phase.id, NO_RATE)
