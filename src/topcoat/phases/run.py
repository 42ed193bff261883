"""Runs a phase: evaluates the base, then trains, fuses, evaluates and judges until an attempt passes or none is left.

Every step's output is stored before the next one begins, so a killed run continues where it stopped.
"""

from __future__ import annotations

import difflib
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from topcoat.engine.protocol import FuseJob
from topcoat.errors import FuseRefused, InvalidInput, NumericalFault, Refused, TopcoatError, Where
from topcoat.phases.attempts.calibration import choose_calibration
from topcoat.phases.attempts.guard_rows import guard_rows
from topcoat.phases.attempts.retry import Tried, next_attempt
from topcoat.phases.attempts.trials import train_trials
from topcoat.phases.canaries import canary_words, say_who_awaits
from topcoat.phases.history import phase_matrix
from topcoat.phases.judging.evaluation import evaluate_model, judge_model
from topcoat.phases.judging.guarding import guard_attempt
from topcoat.phases.preparation import Prepared, prepare
from topcoat.phases.rebuilding import require_parts
from topcoat.progress import Note
from topcoat.project.integrity import require_whole
from topcoat.project.project import Project
from topcoat.project.session import Session
from topcoat.quantity import counted
from topcoat.report.page import PhaseReport, render
from topcoat.spec.canonical import digest_of
from topcoat.spec.phase import copy_of_phase, diff
from topcoat.store.files import write_json, write_text
from topcoat.store.lineage import AttemptRow, ModelRow, PhaseRow, Standing
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import AttemptResult, EvalResult, FuseReport, TrainReport, Verdict
from topcoat.store.seal import Origin, ResultFolder
from topcoat.trackers.sending import Trackers

__all__ = ["PhaseOutcome", "end_phase", "run_attempt", "run_phase", "write_report"]


@dataclass(frozen=True, slots=True)
class PhaseOutcome:
    """How a phase stands. `production` is the current model, in `folder`. `already`: an earlier run had ended it.

    A phase that is "awaiting" its canary passed its gate. `canary` says what its canary decided, "" without one.
    """

    phase: str
    standing: Standing
    results: list[AttemptResult]
    report: Path
    production: str
    folder: Path
    already: bool
    canary: str = ""

    @property
    def promoted(self) -> bool:
        return self.standing == "promoted"

    @property
    def awaiting(self) -> bool:
        return self.standing == "awaiting"

    @property
    def last(self) -> AttemptResult:
        """The attempt that decided."""
        return self.results[-1]


def run_phase(
    session: Session, path: Path, *, allow: frozenset[str] = frozenset(), restart: bool = False
) -> PhaseOutcome:
    """Run one phase from start to verdict. Production changes only at the end, by promotion.

    `allow` lets findings of these codes through. `restart` gives up a phase that was begun with other inputs.
    Raises InvalidInput for data with errors, Refused for a phase that can't be run again as it is.
    """
    trackers = Trackers(session)
    outcome = _run(session, path, trackers, allow, restart)
    trackers.send(outcome.results)  # also those that an earlier run couldn't send
    return outcome


def _run(session: Session, path: Path, trackers: Trackers, allow: frozenset[str], restart: bool) -> PhaseOutcome:
    lineage = session.lineage
    earlier = lineage.latest_phase(path.stem)
    standing = lineage.standing(earlier.id) if earlier else None
    goes_on = standing == "unfinished" or (standing == "awaiting" and not restart)
    begun_on = earlier.base if earlier and goes_on else None
    say_who_awaits(session, path.stem)
    prepared = prepare(session, path, base=begun_on, allow=allow)
    if earlier is not None:
        ended = _ended(session, earlier, prepared, restart)
        if ended is not None:
            return ended
    _stop_on_errors(prepared)
    phase = lineage.latest_phase(prepared.name)
    if phase is None or lineage.outcome(phase.id) is not None:
        phase = lineage.add_phase(
            prepared.name, prepared.spec, prepared.base, digest=prepared.digest, engine=session.engine.name
        )
    return _attempts(session, phase, prepared, trackers)


def _ended(session: Session, earlier: PhaseRow, prepared: Prepared, restart: bool) -> PhaseOutcome | None:
    """The end of an earlier run of this phase, if it is still valid. None if a run must begin or continue."""
    lineage, name = session.lineage, prepared.name
    outcome = lineage.outcome(earlier.id)
    same = earlier.digest == prepared.digest
    by_another_engine = not same and earlier.engine != "" and earlier.digest == prepared.digest_by(earlier.engine)
    if lineage.standing(earlier.id) == "awaiting":
        return _awaiting(session, earlier, prepared, unchanged=same or by_another_engine, restart=restart)
    if outcome is None:
        if same:
            session.sink.emit(Note(f"{name}: going on where the last run was stopped"))
            return None
        if restart:
            _stop_on_errors(prepared)  # before its attempts are given up
            lineage.close_phase(earlier.id, "discarded", "given up for a restart")
            return None
        if by_another_engine:
            raise Refused(
                f"{name} was begun by {earlier.engine}; the engine is {session.engine.name} now",
                where=Where(prepared.path),
                hint=f"`topcoat run {name} --restart`, or go on as it began: the same versions and device, "
                f"and `topcoat --compute HOW run {name}`",
            )
        changes = diff(earlier.spec, prepared.spec) or [
            "its data, suite or catalog changed, or what is cut of its data"
        ]
        raise Refused(
            f"{name} was begun with other inputs: {'; '.join(changes)}",
            where=Where(prepared.path),
            hint=f"topcoat run {name} --restart",
        )
    if outcome.kind == "promoted":
        if same or by_another_engine:
            return _read_back(session, earlier)
        copying, copy = copy_of_phase(prepared.path)
        raise Refused(
            f"{name} was promoted; what it was then can't be changed now",
            where=Where(prepared.path),
            hint=f"{copying} && topcoat run {copy}",
        )
    stands = (same or by_another_engine) and earlier.base == prepared.base and not restart
    return _read_back(session, earlier) if stands else None


def _awaiting(
    session: Session, earlier: PhaseRow, prepared: Prepared, *, unchanged: bool, restart: bool
) -> PhaseOutcome | None:
    """A phase that passed its gate, and awaits its canary. None if it is given up, to run again on production."""
    name = earlier.name
    if restart:
        _stop_on_errors(prepared)  # before its model is given up
        session.lineage.close_phase(earlier.id, "discarded", "given up for a restart, while it awaited its canary")
        return None
    if unchanged:
        return _read_back(session, earlier)
    raise Refused(
        f"{name} awaits its canary; what it was when it passed its gate can't be changed now",
        where=Where(prepared.path),
        hint=f"topcoat serve tries it; topcoat run {name} --restart gives it up",
    )


def _read_back(session: Session, phase: PhaseRow) -> PhaseOutcome | None:
    """How an earlier run ended. None if it ended without a complete attempt."""
    stored = [session.lineage.result(attempt.id) for attempt in session.lineage.attempts(phase.id)]
    results = [result for result in stored if result is not None]
    return _outcome(session, phase, results, already=True) if results else None


def _outcome(session: Session, phase: PhaseRow, results: list[AttemptResult], *, already: bool) -> PhaseOutcome:
    production = session.lineage.production() or phase.base
    outcome = session.lineage.outcome(phase.id)
    return PhaseOutcome(
        phase=phase.name,
        standing=session.lineage.standing(phase.id),
        results=results,
        report=write_report(session, phase.name),
        production=production,
        folder=session.lineage.require_model(production).path,
        already=already,
        canary=outcome.detail if outcome and outcome.kind == "discarded" and session.lineage.canary(phase.id) else "",
    )


def _stop_on_errors(prepared: Prepared) -> None:
    errors = prepared.report.errors
    if not errors:
        return
    codes = sorted({finding.code for finding in errors})
    allow = " ".join(f"--allow {code}" for code in codes)
    raise InvalidInput(
        f"{prepared.name}: {counted(len(errors), 'error')} in the data ({', '.join(codes)}); "
        f"the first: {errors[0].where}: {errors[0].message}",
        where=Where(prepared.path),
        hint=f"`topcoat check {prepared.name}` lists them; `topcoat run {prepared.name} {allow}` runs all the same",
    )


def _attempts(session: Session, phase: PhaseRow, prepared: Prepared, trackers: Trackers) -> PhaseOutcome:
    lineage = session.lineage
    base = session.model(phase.base)
    before = evaluate_model(session, base)
    tried: list[Tried] = []
    begun = lineage.attempts(phase.id)
    plan = ""
    for number in range(prepared.spec.retry.max_attempts):
        rate = prepared.spec.train.learning_rates[0]
        known = begun[number] if number < len(begun) and math.isclose(begun[number].learning_rate, rate) else None
        attempt = known or lineage.add_attempt(phase.id, rate)
        result = lineage.result(attempt.id)
        if result is None:
            result = _trained_attempt(session, attempt, base, prepared, before, plan)
            lineage.add_result(attempt.id, result)
        trackers.send([result])
        tried.append(Tried(prepared.spec, result))
        if result.verdict.passed:
            break
        session.sink.emit(
            Note(f"attempt {attempt.number} discarded: {'; '.join(result.verdict.reasons)}", warning=True)
        )
        retry = next_attempt(tried)
        if retry.spec is None:
            session.sink.emit(Note(retry.reason))
            break
        if number + 1 < prepared.spec.retry.max_attempts:
            plan = retry.reason
            again = prepare(session, prepared.path, base=base.name, changed=retry.spec)
            # The run stays that of the phase's own inputs.
            prepared = replace(
                again, digest=prepared.digest, digest_by=prepared.digest_by, guard_pool=prepared.guard_pool
            )
    return end_phase(session, phase, [one.result for one in tried])


def end_phase(session: Session, phase: PhaseRow, results: list[AttemptResult]) -> PhaseOutcome:
    """Record the last attempt's verdict as the phase's: production changes here, or when the phase's canary is over."""
    last = results[-1]
    canary = phase.spec.gate.canary
    if last.verdict.passed and canary is not None:
        session.lineage.await_canary(
            phase.id, last.model, share=canary.share, sessions=canary.sessions, undecided=canary.undecided
        )
    elif last.verdict.passed:
        session.lineage.promote(last.model, f"{phase.name} passed its gate")
        session.lineage.close_phase(phase.id, "promoted", last.model)
    else:
        session.lineage.close_phase(phase.id, "discarded", "; ".join(last.verdict.reasons))
    return _outcome(session, phase, results, already=False)


def _trained_attempt(
    session: Session, attempt: AttemptRow, base: ModelRow, prepared: Prepared, before: EvalResult, plan: str
) -> AttemptResult:
    rates = prepared.spec.train.learning_rates
    shown = plan or f"learning rate {', '.join(f'{rate:g}' for rate in rates)}"
    session.sink.emit(Note(f"attempt {attempt.number}: {shown}"))

    def train(paths: AttemptPaths, made_from: Origin) -> TrainReport:
        guard = guard_rows(session, prepared, base)
        return train_trials(session, prepared, base.path, rates, paths, made_from, guard)

    source: Origin = {"learning_rates": [*rates], **({"retry": prepared.spec.digest} if plan else {})}
    return run_attempt(session, attempt, base, prepared, before, source, train, plan)


def run_attempt(
    session: Session,
    attempt: AttemptRow,
    base: ModelRow,
    prepared: Prepared,
    before: EvalResult,
    source: Origin,
    get_adapter: Callable[[AttemptPaths, Origin], TrainReport],
    plan: str = "",
) -> AttemptResult:
    """Put an adapter into the attempt's folder, fuse it, evaluate and judge the model.

    `source` is what the adapter is made from beside the phase's inputs and the base, `plan` what a retry changed. What
    lies in the attempt's folder and was made from something else is set aside. A numerical fault, or a fuse that loses
    too much, gives a verdict instead of an error. Raises StorageFault if what the base was made from has changed:
    fusing reads it.
    """
    _require_sources(session, base)
    name = f"{prepared.name}-{attempt.number}"
    paths = session.paths.attempt(prepared.name, attempt.number)
    made_from = _origin(session, attempt, base, prepared) | dict(source)
    folder = ResultFolder(paths.folder, made_from, session.sink, since=datetime.fromisoformat(attempt.created))
    write_json(paths.spec, prepared.spec)
    folder.add([paths.spec])
    train: TrainReport | None = None
    fused: FuseReport | None = None
    after: EvalResult | None = None
    try:
        train = folder.stored(
            paths.train_report, TrainReport, lambda: get_adapter(paths, folder.made_from), beside=paths.adapter
        )
        fused = folder.stored(
            paths.fuse_report,
            FuseReport,
            lambda: _fuse(session, base, folder, paths, name, prepared),
            elsewhere={name: lambda: _digest_of(session, name)},
        )
    except (NumericalFault, FuseRefused) as fault:
        verdict = Verdict(passed=False, failure=fault.message)
    else:
        model = _register(session, base, name, paths, prepared.name, attempt.number)
        guard = guard_attempt(session, prepared, base, model, digest_of([prepared.digest, attempt.number]))
        after, verdict = judge_model(session, prepared.spec.gate, base, model, before, guard)
    result = AttemptResult(
        phase=prepared.name,
        attempt=attempt.number,
        learning_rate=_chosen_rate(train) or attempt.learning_rate,
        model=name,
        before=before,
        train=train,
        fuse=fused,
        after=after,
        verdict=verdict,
        plan=plan,
    )
    write_json(paths.result, result)
    folder.add([paths.result])
    return result


def _require_sources(session: Session, base: ModelRow) -> None:
    """Raise StorageFault unless the root and the adapters that the base was made from are as they were recorded."""
    root, *fused = session.lineage.ancestry(base.name)
    if fused:  # evaluating the base has read it, and a base without a parent is its own root
        require_whole(session.engine, root)
    for model in fused:
        require_parts(model)


def _origin(session: Session, attempt: AttemptRow, base: ModelRow, prepared: Prepared) -> dict[str, JsonValue]:
    """What an attempt's results are made from, apart from the adapter's own source."""
    return {
        "phase": prepared.name,
        "attempt": attempt.number,
        "inputs": prepared.digest,
        "engine": session.engine.name,
        "base": base.name,
        "base_digest": base.digest,
    }


def _digest_of(session: Session, name: str) -> str:
    """The digest of a fused model as it lies in the project, "" if there is none."""
    try:
        return session.engine.describe(session.paths.model(name)).digest
    except TopcoatError:
        return ""


def _chosen_rate(train: TrainReport | None) -> float | None:
    return next((trial.learning_rate for trial in train.trials if trial.chosen), None) if train else None


def _fuse(
    session: Session, base: ModelRow, folder: ResultFolder, paths: AttemptPaths, name: str, prepared: Prepared
) -> FuseReport:
    ancestry = session.lineage.ancestry(base.name)
    compensated = prepared.spec.fuse.rounding == "compensated"
    earlier = [model.adapter for model in ancestry if model.adapter]
    job = FuseJob(
        base=base.path,
        root=ancestry[0].path,
        adapters=[*earlier, paths.adapter],
        spec=prepared.spec.fuse,
        valid=prepared.valid,
        output=session.paths.model(name),
        calibration=choose_calibration(folder, prepared.rows) if compensated else None,
    )
    shutil.rmtree(job.output, ignore_errors=True)  # left by a killed run without a stored report
    return session.engine.fuse(job, session.sink)


def _register(session: Session, base: ModelRow, name: str, paths: AttemptPaths, phase: str, attempt: int) -> ModelRow:
    output = session.paths.model(name)
    return session.lineage.add_model(
        name,
        digest=session.engine.describe(output).digest,
        path=output,
        parent=base.name,
        adapter=paths.adapter,
        phase=phase,
        attempt=attempt,
    )


def write_report(project: Project, name: str) -> Path:
    """Write the report of a phase's latest run and return its path. Raises InvalidInput if the run hasn't ended.

    It needs no lock: a report can be made again at any time, and a reader sees a whole page, old or new.
    """
    lineage = project.lineage
    phase = lineage.latest_phase(name)
    standing = lineage.standing(phase.id) if phase else "unfinished"
    stored = [lineage.result(attempt.id) for attempt in lineage.attempts(phase.id)] if phase else []
    results = [result for result in stored if result is not None]
    if phase is None or standing == "unfinished" or not results:
        _require_phase(project, name)
        raise InvalidInput(f"{name} has not come to a verdict, there is nothing to report", hint=f"topcoat run {name}")
    path = project.paths.report(name)
    matrix = phase_matrix(lineage, phase.base if standing == "discarded" else results[-1].model)
    about = canary_words(lineage, phase)
    write_text(path, render(PhaseReport(name, standing, results, project.suite.cases, matrix, about)))
    return path


def _require_phase(project: Project, name: str) -> None:
    """Raise InvalidInput unless the project has a phase file of this name."""
    path = project.paths.phase(name)
    if path.is_file():
        return
    names = sorted(file.stem for file in path.parent.glob("*.toml"))
    close = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"one of {', '.join(names)}" if names else None
    raise InvalidInput(f'no phase is called "{name}"', where=Where(path), hint=hint or f"topcoat plan --write {path}")
