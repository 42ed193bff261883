"""Rebuilds fused models from the root and the adapters, and deletes those that can be rebuilt."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from topcoat.engine.protocol import RebuildJob
from topcoat.errors import EngineFault, Refused, StorageFault, Where
from topcoat.phases.calibration import calibration_rows
from topcoat.progress import Note
from topcoat.project.session import Session
from topcoat.store.files import read_record
from topcoat.store.lineage import ModelRow
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import FuseReport

__all__ = ["Freed", "collect_garbage", "rebuild"]


@dataclass(frozen=True, slots=True)
class Freed:
    """What a collection deleted: folders relative to the project, and the freed bytes of disk."""

    folders: list[str]
    bytes: int


def rebuild(session: Session, name: str) -> ModelRow:
    """Make a fused model's folder again if it is missing, and those of its ancestors that are missing too.

    Raises Refused for a root, StorageFault if an adapter or the root itself is missing or changed, EngineFault if the
    bytes differ: another version of the engine may round differently.
    """
    model = session.lineage.require_model(_resolved(session, name))
    if model.parent is None:
        raise Refused(f"{model.name} is a root: there is nothing to make it from", where=Where(model.path))
    ancestry = session.lineage.ancestry(model.name)
    _require(session, ancestry[0])
    for number, current in enumerate(ancestry[1:], 1):
        if not current.path.is_dir():
            _make_again(session, ancestry[: number + 1])
    _require(session, model)
    return model


def collect_garbage(session: Session, *, dry_run: bool = False) -> Freed:
    """Delete fused models that `rebuild` can make again, and checkpoints of finished trainings.

    Production, roots and the bases of unfinished phases stay. `dry_run` only reports what would be deleted.
    """
    lineage, root = session.lineage, session.paths.root
    kept = {lineage.production()}
    kept |= {phase.base for phase in lineage.phases() if lineage.outcome(phase.id) is None}
    models = [model for model in lineage.models() if model.name not in kept and _can_be_made_again(session, model)]
    folders = [model.path for model in models]
    trainings = [AttemptPaths(path.parent) for path in sorted(session.paths.runs.glob("**/checkpoints"))]
    folders += [training.checkpoints for training in trainings if training.train_report.is_file()]
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
    )


def _resolved(session: Session, name: str) -> str:
    return (session.lineage.production() or name) if name == "production" else name


def _require(session: Session, model: ModelRow) -> None:
    """Raise StorageFault unless the model's folder has the recorded bytes."""
    if not model.path.is_dir():
        raise StorageFault(
            f"the folder of {model.name} is gone, and nothing can be made without it", where=Where(model.path)
        )
    if session.engine.describe(model.path).digest != model.digest:
        raise StorageFault(
            f"the files of {model.name} are not those that were recorded",
            where=Where(model.path),
            hint=f"rm -r '{model.path}' && topcoat rebuild {model.name}" if model.parent else None,
        )


def _make_again(session: Session, ancestry: list[ModelRow]) -> None:
    """Fuse the last model of `ancestry`. Those before it exist."""
    *_, parent, model = ancestry
    session.sink.emit(Note(f"making {model.name} again from {parent.name}"))
    report = _fuse_report(model)
    compensated = report.rounding == "compensated"
    job = RebuildJob(
        base=parent.path,
        root=ancestry[0].path,
        adapters=[_adapter(ancestor) for ancestor in ancestry[1:]],
        bits={module.name: module.bits for module in report.modules},
        output=model.path,
        calibration=calibration_rows(AttemptPaths(_adapter(model).parent).calibration) if compensated else None,
        computed=report.computed,
    )
    session.engine.rebuild(job, session.sink)
    if session.engine.describe(model.path).digest != model.digest:
        shutil.rmtree(model.path)
        raise EngineFault(
            f"{model.name} came out with other bytes than were recorded, and is not kept: "
            f"another engine than {session.engine.name} fused it",
            where=Where(model.path),
            hint="install the versions of mlx and mlx-lm that fused it: pip install mlx==VERSION mlx-lm==VERSION",
        )


def _can_be_made_again(session: Session, model: ModelRow) -> bool:
    if model.parent is None or not model.path.is_dir():
        return False
    ancestry = session.lineage.ancestry(model.name)
    return ancestry[0].path.is_dir() and all(_parts_are_there(ancestor) for ancestor in ancestry[1:])


def _parts_are_there(model: ModelRow) -> bool:
    """Whether the adapter exists, and everything else that fusing it again needs."""
    path = _fuse_file(model)
    if model.adapter is None or path is None or not model.adapter.exists() or not path.exists():
        return False
    nearest = read_record(path, FuseReport).rounding == "nearest"
    return nearest or AttemptPaths(model.adapter.parent).calibration.exists()


def _adapter(model: ModelRow) -> Path:
    if model.adapter is None or not model.adapter.is_dir():
        raise StorageFault(f"the adapter of {model.name} is gone", where=Where(model.adapter or model.path))
    return model.adapter


def _fuse_file(model: ModelRow) -> Path | None:
    return AttemptPaths(model.adapter.parent).fuse_report if model.adapter else None


def _fuse_report(model: ModelRow) -> FuseReport:
    path = _fuse_file(model)
    if path is None or not path.is_file():
        raise StorageFault(f"what was written when {model.name} was fused is gone", where=Where(path or model.path))
    return read_record(path, FuseReport)


def _files(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]
