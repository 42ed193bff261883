"""Makes a lost lineage again from the sealed folders of the runs."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from topcoat.doctor.examine import Recovery
from topcoat.engine.protocol import Engine
from topcoat.errors import Refused, StorageFault, Where
from topcoat.phases.attempts.retry import Tried, next_attempt
from topcoat.project.session import add_root
from topcoat.spec.phase import PhaseSpec
from topcoat.spec.project import PROJECT_FILE, ProjectSettings
from topcoat.store.files import read_record
from topcoat.store.lineage import Lineage, ModelRow, OutcomeKind, WritableLineage
from topcoat.store.paths import AttemptPaths, ProjectPaths
from topcoat.store.records import AttemptResult
from topcoat.store.seal import Seal, damages, read_seal
from topcoat.usage.capture.candidate.looks import read_looks, verdict_of

__all__ = ["recover_lineage"]

_NEVER_KNOWN = "decisions by hand and rollbacks: the last model that passed its gate, and its canary, is production"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What an attempt's folder tells. `result` is None if the attempt was not finished, or its result is damaged."""

    paths: AttemptPaths
    phase: str
    number: int
    seal: Seal
    spec: PhaseSpec
    result: AttemptResult | None
    began: datetime

    def origin(self, name: str) -> str:
        return str(self.seal.made_from.get(name, ""))

    @property
    def run(self) -> tuple[str, str, str]:
        """What the attempts of one run share."""
        return self.phase, self.origin("inputs"), self.origin("base")


def recover_lineage(paths: ProjectPaths, settings: ProjectSettings, engine: Engine) -> Recovery:
    """Replace a lost or damaged lineage by one that the folders of the runs tell. The caller holds the project's lock.

    The old file is kept under another name. Raises Refused if the lineage is whole, or if the runs grew from another
    base than the project file names.
    """
    _require_lost(paths)
    lost: list[str] = []
    attempts = _attempts(paths, lost)
    clock = _Clock(min((attempt.began for attempt in attempts), default=datetime.now(UTC)))
    with tempfile.TemporaryDirectory(prefix=".recovered-", dir=paths.state) as scratch:
        file = Path(scratch) / paths.database.name
        with WritableLineage(paths, recovered=file, clock=clock) as lineage:
            root = add_root(lineage, settings, engine)
            _require_root(paths, root, attempts)
            _add_runs(paths, lineage, attempts, clock, lost)
            figures = len(lineage.models()), len(lineage.phases())
            count = sum(len(lineage.attempts(phase.id)) for phase in lineage.phases())
        aside = _set_aside(paths)
        os.replace(file, paths.database)
    lost.append(_NEVER_KNOWN)
    return Recovery(
        models=figures[0], phases=figures[1], attempts=count, lost=lost, aside=str(aside) if aside else None
    )


class _Clock:
    """Gives the time of the attempt that is being recovered."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def _require_lost(paths: ProjectPaths) -> None:
    try:
        with Lineage(paths) as lineage:
            if lineage.problems():
                return
    except StorageFault:
        return
    raise Refused(
        f"{paths.database} is whole: there is nothing to make again", where=Where(paths.database), hint="topcoat status"
    )


def _attempts(paths: ProjectPaths, lost: list[str]) -> list[_Attempt]:
    """The attempts whose folders tell what they were made from, oldest first. `lost` gets the others."""
    found = []
    for folder in sorted(path for path in paths.runs.glob("*/*") if path.is_dir() and path.name.isdigit()):
        name = f"{folder.parent.name}/{folder.name}"
        sealed, attempt = read_seal(folder), AttemptPaths(folder)
        if sealed is None or sealed.made_from.get("base") is None:
            adapter = attempt.adapter.relative_to(paths.root)
            lost.append(
                f"{name}: it has no seal, so its base and its scores are not known; "
                f"to judge its adapter again: topcoat adopt {folder.parent.name} {adapter}"
            )
            continue
        if (sealed.made_from.get("phase"), sealed.made_from.get("attempt")) != (folder.parent.name, int(folder.name)):
            lost.append(f"{name}: it is the folder of another attempt")
            continue
        unsealed = [] if attempt.spec.name in sealed.files else ["phase.json is gone"]
        harm = unsealed or damages(folder, sealed, attempt.spec)
        if harm:
            lost.append(f"{name}: {harm[0]}")
            continue
        spec = read_record(attempt.spec, PhaseSpec)
        result = _result(attempt, sealed, name, lost)
        found.append(
            _Attempt(attempt, folder.parent.name, int(folder.name), sealed, spec, result, _oldest(folder, sealed))
        )
    return sorted(found, key=lambda attempt: (attempt.began, attempt.phase, attempt.number))


def _result(attempt: AttemptPaths, sealed: Seal, name: str, lost: list[str]) -> AttemptResult | None:
    if attempt.result.name not in sealed.files:
        lost.append(f"{name}: it was not finished; topcoat run {name.split('/')[0]} goes on with it")
        return None
    harm = damages(attempt.folder, sealed, attempt.result)
    if harm:
        lost.append(f"{name}: its scores and verdict, because {harm[0]}")
        return None
    return read_record(attempt.result, AttemptResult)


def _oldest(folder: Path, sealed: Seal) -> datetime:
    """The time when the first of the sealed files was written."""
    times = [(folder / name).stat().st_mtime for name in sealed.files if (folder / name).exists()]
    return datetime.fromtimestamp(min(times, default=folder.stat().st_mtime), UTC)


def _require_root(paths: ProjectPaths, root: ModelRow, attempts: Iterable[_Attempt]) -> None:
    for attempt in attempts:
        if attempt.origin("base") == root.name and attempt.origin("base_digest") != root.digest:
            raise Refused(
                f"{attempt.phase}/{attempt.number} was made from other files than those of {root.name} in {root.path}",
                where=Where(paths.root / PROJECT_FILE),
                hint=f"put the original files of {root.name} back",
            )


def _add_runs(
    paths: ProjectPaths, lineage: WritableLineage, attempts: list[_Attempt], clock: _Clock, lost: list[str]
) -> None:
    """Add the runs, each after the run that made its base. `lost` gets those whose base isn't known."""
    runs = [list(group) for _, group in itertools.groupby(sorted(attempts, key=_by_run), key=lambda a: a.run)]
    runs.sort(key=lambda run: run[0].began)
    while runs:
        ready = next((run for run in runs if _base_of(lineage, run[0]) is not None), None)
        if ready is None:
            lost += [f"{a.phase}/{a.number}: its base {a.origin('base')} is not known" for run in runs for a in run]
            return
        runs.remove(ready)
        _add_run(paths, lineage, ready, clock, followed=any(run[0].phase == ready[0].phase for run in runs))


def _by_run(attempt: _Attempt) -> tuple[tuple[str, str, str], int]:
    return attempt.run, attempt.number


def _base_of(lineage: Lineage, attempt: _Attempt) -> ModelRow | None:
    base = lineage.model(attempt.origin("base"))
    return base if base and base.digest == attempt.origin("base_digest") else None


def _add_run(
    paths: ProjectPaths, lineage: WritableLineage, run: list[_Attempt], clock: _Clock, *, followed: bool
) -> None:
    """Add one run of a phase: its attempts with models, scores and verdicts, and how it ended."""
    first, last = run[0], run[-1]
    clock.now = first.began
    phase = lineage.add_phase(
        first.phase, first.spec, first.origin("base"), digest=first.origin("inputs"), engine=first.origin("engine")
    )
    for attempt in run:
        clock.now = attempt.began
        row = lineage.add_attempt(phase.id, _rate(attempt), number=attempt.number)
        if attempt.result is not None:
            _add_model(paths, lineage, attempt, attempt.result)
            lineage.add_result(row.id, attempt.result)
    canary = first.spec.gate.canary
    if last.result is not None and last.result.verdict.passed and canary is not None:
        model = last.result.model
        lineage.await_canary(phase.id, model, share=canary.share, sessions=canary.sessions, undecided=canary.undecided)
        if (decided := verdict_of(read_looks(paths.canary, first.phase, model), canary.undecided)) is not None:
            kind: OutcomeKind = "promoted" if decided.verdict == "promote" else "discarded"
            lineage.end_canary(phase.id, kind, decided.reason, by_hand=True)
    elif last.result is not None and last.result.verdict.passed:
        lineage.promote(last.result.model, f"{first.phase} passed its gate")
        lineage.close_phase(phase.id, "promoted", last.result.model)
    elif followed or _was_last(run):
        reasons = last.result.verdict.reasons if last.result else ["it was given up"]
        lineage.close_phase(phase.id, "discarded", "; ".join(reasons))


def _was_last(run: Sequence[_Attempt]) -> bool:
    """Whether no other attempt follows the last one. Otherwise the phase stays open, and is continued."""
    last = run[-1]
    if last.result is None:
        return False
    if "adapter" in last.seal.made_from or last.number >= last.spec.retry.max_attempts:
        return True
    tried = [Tried(attempt.spec, attempt.result) for attempt in run if attempt.result is not None]
    return next_attempt(tried).spec is None


def _rate(attempt: _Attempt) -> float:
    rates = attempt.seal.made_from.get("learning_rates")
    first = rates[0] if isinstance(rates, list) and rates else 0.0  # an adopted adapter has none
    return float(first) if isinstance(first, int | float) else 0.0


def _add_model(paths: ProjectPaths, lineage: WritableLineage, attempt: _Attempt, result: AttemptResult) -> None:
    """Add the attempt's model, if one was fused, and the scores that decided about it."""
    digest = attempt.seal.elsewhere.get(result.model)
    if digest is None:
        return
    lineage.add_model(
        result.model,
        digest=digest,
        path=paths.model(result.model),
        parent=attempt.origin("base"),
        adapter=attempt.paths.adapter,
        phase=attempt.phase,
        attempt=attempt.number,
    )
    for scores in (result.before, result.after):
        if scores is not None:
            # Under a key of its own: the suite may have changed since, and then the next evaluation asks again.
            lineage.put_evaluation(f"recovered {attempt.phase} {attempt.number} {scores.model}", scores.model, scores)


def _set_aside(paths: ProjectPaths) -> Path | None:
    """Rename the old database, with the files beside it. None if there is none, or an empty one."""
    old = paths.database
    aside = next(path for n in itertools.count(1) if not (path := old.with_name(f"{old.name}.lost-{n}")).exists())
    had = old.is_file() and old.stat().st_size > 0
    for suffix in ("", "-wal", "-shm"):
        file = old.with_name(old.name + suffix)
        if file.exists():
            shutil.move(file, aside.with_name(aside.name + suffix))
    return aside if had else None
