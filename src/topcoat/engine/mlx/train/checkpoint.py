"""Checkpoints of a training: everything that the next update depends on, replaced atomically.

The position in the data and the random state need no file, because both are functions of the update's number.
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
from topcoat.errors import StorageFault, Where
from topcoat.store.files import staged_folder
from topcoat.store.records import Record, TrainStep, Validation

__all__ = ["Progress", "restore", "save"]


@dataclass(slots=True)
class Progress:
    """A training's progress: `update` updates are complete. `best` is the adapter with the lowest validation loss."""

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


def save(folder: Path, progress: Progress, adapter: Weights, optimizer: optimizers.Optimizer) -> None:
    """Write `folder/UPDATE/`, then delete the older ones. A kill at any instant leaves a complete checkpoint."""
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
    for older in _checkpoints(folder):
        if older != target:
            shutil.rmtree(older)


def restore(folder: Path, optimizer: optimizers.Optimizer) -> tuple[Progress, Weights] | None:
    """The newest checkpoint's progress and adapter. Sets the optimizer's state. None if there is no checkpoint.

    Raises StorageFault if it can't be read.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    newest = found[-1]
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


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir() and path.name.isdigit())


def _read(path: Path) -> Weights:
    """A safetensors file, fully in memory, because its folder may be deleted while the arrays are in use."""
    loaded = mx.load(str(path))
    assert isinstance(loaded, dict)
    mx.eval(loaded)
    return loaded
