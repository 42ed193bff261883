"""Rebuilds fused models from the root and the adapters, and deletes those that can be rebuilt."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from topcoat.engine.beginnings import folder_of
from topcoat.engine.protocol import RebuildJob
from topcoat.errors import EngineFault, Refused, StorageFault, Where
from topcoat.phases.attempts.calibration import calibration_rows
from topcoat.progress import Note
from topcoat.project.integrity import harm_to_parts, is_sealed, is_whole, require_whole
from topcoat.project.session import Session
from topcoat.store.files import read_record
from topcoat.store.lineage import ModelRow
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import FuseReport
from topcoat.store.seal import Origin, seal

__all__ = ["Freed", "collect_garbage", "rebuild", "require_parts"]

_SCRATCH = ".rebuild-"
"""What the folders begin with in which models are made again, before they take their places."""


@dataclass(frozen=True, slots=True)
class Freed:
    """What a collection deleted: folders relative to the project, and the freed bytes of disk.

    `kept` says of each fused model that stays because it can't be made again, why.
    """

    folders: list[str]
    bytes: int
    kept: list[str]


def rebuild(session: Session, name: str) -> ModelRow:
    """Make a fused model's folder again if it is missing or damaged, and those of its ancestors that are.

    A model of an earlier version, whose adapter has no seal, is made again even if it is whole: that proves the
    adapter, which gets its seal then. Raises Refused for a root, StorageFault if an adapter or the root itself is
    missing or damaged, EngineFault if the bytes differ: another version of the engine may round differently.
    """
    for leftover in session.paths.state.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover)  # of a killed rebuild: this process holds the project's lock
    model = session.lineage.require_model(_resolved(session, name))
    if model.parent is None:
        raise Refused(f"{model.name} is a root: there is nothing to make it from", where=Where(model.path))
    ancestry = session.lineage.ancestry(model.name)
    require_whole(session.engine, ancestry[0])
    for number, current in enumerate(ancestry[1:], 1):
        if not (is_whole(session.engine, current) and is_sealed(current)):
            _make_again(session, ancestry[: number + 1])
    require_whole(session.engine, model)
    return model


def collect_garbage(session: Session, *, dry_run: bool = False) -> Freed:
    """Delete fused models that `rebuild` can make again, checkpoints of finished trainings, and beginnings of prompts.

    Production with its beginnings, roots, the bases of unfinished phases and what awaits its canary stay. `dry_run`
    only reports what would be deleted.
    """
    lineage, root = session.lineage, session.paths.root
    needed = {lineage.production()}
    needed |= {phase.base for phase in lineage.phases() if lineage.outcome(phase.id) is None}
    needed |= {candidate.model for _, candidate in lineage.awaiting()}
    fused = [model for model in lineage.models() if model.parent and model.path.is_dir() and model.name not in needed]
    obstacles = {model.name: _obstacle(session, model) for model in fused}
    folders = [model.path for model in fused if not obstacles[model.name]]
    trainings = [AttemptPaths(path.parent) for path in sorted(session.paths.runs.glob("**/checkpoints"))]
    folders += [training.checkpoints for training in trainings if training.train_report.is_file()]
    folders += _beginnings_of_others(session)
    files = _files(folders)
    elsewhere = set(_files([session.paths.models, session.paths.runs])) - set(files)
    still_linked = {path.stat().st_ino for path in elsewhere}
    freed = {path.stat().st_ino: path.stat().st_size for path in files if path.stat().st_ino not in still_linked}
    roots = [model.path for model in lineage.models() if model.parent is None]
    outside = {path.stat().st_ino for path in _files(roots)}
    if not dry_run:
        for folder in folders:
            shutil.rmtree(folder)
    return Freed(
        [str(folder.relative_to(root)) for folder in folders],
        sum(size for inode, size in freed.items() if inode not in outside),
        [f"{name} is kept: {obstacle}" for name, obstacle in obstacles.items() if obstacle],
    )


def _beginnings_of_others(session: Session) -> list[Path]:
    """The folders of what other models than production computed of prompts."""
    production = session.lineage.production()
    own = folder_of(session.paths.beginnings, session.lineage.require_model(production).digest) if production else None
    return [folder for folder in sorted(session.paths.beginnings.glob("*")) if folder.is_dir() and folder != own]


def _resolved(session: Session, name: str) -> str:
    return (session.lineage.production() or name) if name == "production" else name


def _make_again(session: Session, ancestry: list[ModelRow]) -> None:
    """Fuse the last model of `ancestry`; put it in place if it has the recorded bytes. Those before it are whole."""
    *_, parent, model = ancestry
    session.sink.emit(Note(f"making {model.name} again from {parent.name}"))
    for ancestor in ancestry[1:]:
        require_parts(ancestor)
    report = _fuse_report(model)
    compensated = report.rounding == "compensated"
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=session.paths.state) as scratch:
        output = Path(scratch) / model.path.name
        job = RebuildJob(
            base=parent.path,
            root=ancestry[0].path,
            adapters=[ancestor.adapter for ancestor in ancestry[1:] if ancestor.adapter],
            bits={module.name: module.bits for module in report.modules},
            output=output,
            calibration=calibration_rows(_attempt(model).calibration) if compensated else None,
            computed=report.computed,
        )
        session.engine.rebuild(job, session.sink)
        if session.engine.describe(output).digest != model.digest:
            raise _other_bytes(session, model)
        if not is_whole(session.engine, model):
            shutil.rmtree(model.path, ignore_errors=True)
            model.path.parent.mkdir(parents=True, exist_ok=True)
            output.rename(model.path)
    if not is_sealed(model):
        _seal_parts(session, model)


def _seal_parts(session: Session, model: ModelRow) -> None:
    """Seal what `model` was just made from."""
    origin = session.lineage.origin(model)
    parent = session.lineage.require_model(model.parent or "")
    if origin is None:
        return
    phase, attempt = origin
    made_from: Origin = {
        "phase": phase.name,
        "attempt": attempt.number,
        "inputs": phase.digest,
        "engine": phase.engine,
        "base": parent.name,
        "base_digest": parent.digest,
        "learning_rates": [attempt.learning_rate],
    }
    paths = _attempt(model)
    files = [path for path in paths.folder.glob("*.json") if path.is_file()]
    seal(paths.folder, made_from, [*files, paths.adapter], {model.name: model.digest})


def _obstacle(session: Session, model: ModelRow) -> str:
    """Why a fused model can't be made again, in a few words; "" if it can."""
    ancestry = session.lineage.ancestry(model.name)
    if not is_whole(session.engine, ancestry[0]):
        return f"its root {ancestry[0].name} is gone or damaged"
    for ancestor in ancestry[1:]:
        harm = harm_to_parts(ancestor)
        if not harm and not is_sealed(ancestor):
            harm = f"nothing proves that its adapter is whole; topcoat rebuild {ancestor.name} does"
        if (
            not harm
            and _fuse_report(ancestor).rounding == "compensated"
            and not _attempt(ancestor).calibration.exists()
        ):
            harm = "calibration.json is gone"
        if harm:
            return f"{ancestor.name}: {harm}"
    return ""


def _other_bytes(session: Session, model: ModelRow) -> EngineFault:
    """The error for a model that came out with other bytes, with the likely reason."""
    made = session.lineage.origin(model)
    by = made[0].engine if made else ""
    if by in ("", session.engine.name) and not is_sealed(model):
        reason = "an adapter isn't the one that it was fused from" + ("" if by else ", or another engine fused it")
        hint = f"put the files of an earlier copy into {_attempt(model).folder}"
    else:
        reason = f"another engine or machine than {session.engine.name} on this one fused it"
        hint = "install the versions of mlx and mlx-lm that fused it: pip install mlx==VERSION mlx-lm==VERSION"
    message = f"{model.name} came out with other bytes than were recorded, and is not kept: {reason}"
    return EngineFault(message, where=Where(model.path), hint=hint)


def require_parts(model: ModelRow) -> None:
    """Raise StorageFault unless a fused model's adapter, and what was written beside it, are as they were sealed."""
    harm = harm_to_parts(model)
    if harm:
        raise StorageFault(
            f"{model.name} can't be made again: {harm}",
            where=Where(model.adapter or model.path),
            hint=f"put the files of an earlier copy into {model.adapter.parent}" if model.adapter else None,
        )


def _attempt(model: ModelRow) -> AttemptPaths:
    return AttemptPaths((model.adapter or model.path).parent)


def _fuse_report(model: ModelRow) -> FuseReport:
    return read_record(_attempt(model).fuse_report, FuseReport)


def _files(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]
