"""Checkpoints of a training: everything that the next update depends on, replaced atomically.

The position in the data and the random state need no file, because both are functions of the update's number. A
checkpoint is sealed: one of another training, or with a damaged file, isn't used.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import mlx.optimizers as optimizers
from mlx.utils import tree_flatten, tree_unflatten
from pydantic import TypeAdapter

from topcoat.engine.mlx.model.lora import Weights
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.engine.mlx.ranks.group import Ranks
from topcoat.errors import StorageFault, Where
from topcoat.progress import Note, Sink
from topcoat.store.files import staged_folder
from topcoat.store.records import Record, TrainStep, Validation
from topcoat.store.seal import seal, unusable

__all__ = ["Progress", "on_every_rank", "restore", "save"]


@dataclass(slots=True)
class Progress:
    """A training's progress: `update` updates are complete. `best` is the adapter with the lowest loss so far."""

    update: int = 0
    steps: list[TrainStep] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    best: Weights = field(default_factory=dict)
    best_update: int = 0
    best_loss: float | None = None
    stale_validations: int = 0


class _State(Record):
    update: int
    steps: list[TrainStep]
    validations: list[Validation]
    best_update: int
    best_loss: float | None
    stale_validations: int


_STATE = TypeAdapter(_State)


def save(folder: Path, progress: Progress, adapter: Weights, optimizer: optimizers.Optimizer, *, job: str) -> None:
    """Write `folder/UPDATE/`, then delete the older ones. A kill at any instant leaves a complete checkpoint.

    `job` is the digest of the training job.
    """
    state = _State(
        update=progress.update,
        steps=progress.steps,
        validations=progress.validations,
        best_update=progress.best_update,
        best_loss=progress.best_loss,
        stale_validations=progress.stale_validations,
    )
    target = folder / f"{progress.update:07d}"
    with staged_folder(target) as staged:
        save_tensors(staged / "adapters.safetensors", adapter)
        save_tensors(staged / "best.safetensors", progress.best)
        save_tensors(staged / "optimizer.safetensors", dict(tree_flatten(optimizer.state)))
        (staged / "state.json").write_bytes(_STATE.dump_json(state))
        seal(staged, {"job": job}, sorted(staged.iterdir()))
    for older in _checkpoints(folder):
        if older != target:
            shutil.rmtree(older)


def restore(folder: Path, optimizer: optimizers.Optimizer, sink: Sink, *, job: str) -> tuple[Progress, Weights] | None:
    """The progress and adapter of the newest checkpoint of the training `job`. Sets the optimizer's state.

    None if there is no such checkpoint. One that is damaged, or of another job, is deleted with a warning.
    Raises StorageFault if a whole one can't be read.
    """
    newest = _newest_whole(folder, sink, job)
    if newest is None:
        return None
    try:
        state = _STATE.validate_json((newest / "state.json").read_bytes())
        adapter = _read(newest / "adapters.safetensors")
        best = _read(newest / "best.safetensors")
        optimizer.state = tree_unflatten(list(_read(newest / "optimizer.safetensors").items()))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise StorageFault(
            f"the checkpoint can't be read: {error}", where=Where(newest), hint=f"rm -r '{newest}'"
        ) from error
    progress = Progress(
        update=state.update,
        steps=list(state.steps),
        validations=list(state.validations),
        best=best,
        best_update=state.best_update,
        best_loss=state.best_loss,
        stale_validations=state.stale_validations,
    )
    return progress, adapter


def on_every_rank(
    restored: tuple[Progress, Weights] | None, adapter: Weights, optimizer: optimizers.Optimizer, ranks: Ranks
) -> tuple[Progress, Weights]:
    """The progress and adapter with which every rank goes on: what the first one `restored`, or the new `adapter`.

    Also sets the optimizer's state on the others. The best adapter stays with the first, which writes the files.
    """
    if ranks.size == 1:
        return restored or (Progress(), adapter)
    progress, adapter = restored or (Progress(), adapter)
    state = dict(tree_flatten(optimizer.state))
    numbers = ranks.told([progress.update, progress.best_update, progress.best_loss, progress.stale_validations])
    adapter = {name: _from_first(value, ranks) for name, value in sorted(adapter.items())}
    optimizer.state = tree_unflatten([(name, _from_first(value, ranks)) for name, value in sorted(state.items())])
    if not ranks.first:
        progress = Progress(numbers[0], best_update=numbers[1], best_loss=numbers[2], stale_validations=numbers[3])
    return progress, adapter


def _from_first(value: mx.array, ranks: Ranks) -> mx.array:
    return ranks.array(value if ranks.first else None, value.shape, value.dtype)


def _newest_whole(folder: Path, sink: Sink, job: str) -> Path | None:
    for checkpoint in reversed(_checkpoints(folder)):
        wrong = unusable(checkpoint, {"job": job})
        if not wrong:
            return checkpoint
        sink.emit(Note(f"the checkpoint {checkpoint} is not used: {wrong}", warning=True))
        shutil.rmtree(checkpoint)
        if not _checkpoints(folder):
            sink.emit(Note("no other checkpoint is left: training begins again", warning=True))
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir() and path.name.isdigit())


def _read(path: Path) -> Weights:
    """A safetensors file, fully in memory, because its folder may be deleted while the arrays are in use."""
    loaded = mx.load(str(path))
    assert isinstance(loaded, dict)
    mx.eval(loaded)
    return loaded
