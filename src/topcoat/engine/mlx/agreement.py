"""Which forward pass to train with: the split one where it computes what the whole model computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from topcoat.engine.base import Row
from topcoat.engine.mlx.forward import Forward, SplitForward, WholeForward
from topcoat.engine.mlx.lora import adapter_weights
from topcoat.engine.mlx.loss import batch_arrays
from topcoat.engine.mlx.model import load
from topcoat.engine.mlx.prefix import shared_prefix
from topcoat.engine.mlx.scalar import scalar
from topcoat.engine.mlx.trunk import Trunk
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.store.cache import ArrayCache

__all__ = ["choose_forward"]

TOLERANCE = {mx.float32: 1e-4, mx.float16: 2e-2, mx.bfloat16: 5e-2}
"""Largest difference between split and whole model, relative to the largest logit, for each type of their states.

In float32, rounding is below 1e-5; an embedding that isn't scaled or a state that isn't passed on makes 1e-1 and more.
"""


def choose_forward(
    model: nn.Module, folder: Path, rows: Sequence[Row], cache: ArrayCache, sink: Sink, *, dropout: float, by: str
) -> Forward:
    """A split forward over stored activations if it agrees with the whole model on the first row, else the whole.

    `model` has fresh adapters (whose deltas are zero) and may not be in memory yet; of the layers below the lowest
    adapted one nothing is left in it if the forward is split. With `dropout` no prefix is shared: each row's own random
    zeros could not be drawn in a prefix that is computed once.
    """
    names = list(adapter_weights(model))
    layers = [int(name.split(".")[2]) for name in names if name.startswith("model.layers.")]
    if len(layers) < len(names) or not layers:
        return _whole(model, sink, "adapters outside the layers: no trunk to compute once")
    model.eval()  # dropout would make any two passes differ
    try:
        trunk = Trunk(folder, min(layers), shared_prefix(rows) if dropout == 0.0 else [], cache, computed_by=by)
        trunk.compute(rows[:1], sink)
        split = SplitForward(model, trunk)
        known = _known_difference(trunk, rows[0], cache)
        difference = _difference(folder, split, rows[0]) if known is None else known
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        return _whole(model, sink, f"this architecture's layers can't be called one by one ({error}): no trunk")
    allowed = TOLERANCE.get(trunk.states(rows[0]).dtype, 1e-4)
    if not difference <= allowed:
        return _whole(model, sink, f"split and whole model differ by {difference:.1e} of the largest logit: no trunk")
    if known is None:
        cache.put(_agreement_key(trunk, rows[0]), np.array([difference], np.float32))
    trunk.compute(rows, sink)
    _drop_trunk(model, trunk.split)
    said = f"trunk of {trunk.split} layers computed once a row, {len(_layers(model)) - trunk.split} trained on"
    if trunk.prefix:
        said += f"; a prefix of {counted(len(trunk.prefix), 'token')} shared by all {counted(len(rows), 'row')}"
    sink.emit(Note(said))
    return split


def _layers(model: nn.Module) -> list[nn.Module]:
    """The model's layers, of which the lower may have been dropped."""
    found: list[nn.Module] = model.model.layers
    return found


def _whole(model: nn.Module, sink: Sink, why: str) -> WholeForward:
    mx.eval(model.parameters())
    sink.emit(Note(why))
    return WholeForward()


def _drop_trunk(model: nn.Module, split: int) -> None:
    """Forget the layers below `split` (and an embedding that isn't the head's) and load the rest."""
    for index in range(split):
        _layers(model)[index] = nn.Module()
    if "lm_head" in model:
        model.model.embed_tokens = nn.Module()
    mx.eval(model.parameters())


def _agreement_key(trunk: Trunk, row: Row) -> str:
    return f"{trunk.key(row)}-agrees"


def _known_difference(trunk: Trunk, row: Row, cache: ArrayCache) -> float | None:
    """What an earlier run measured on the same trunk and row, if it agreed."""
    found = cache.get(_agreement_key(trunk, row))
    return None if found is None else float(found[0])


def _difference(folder: Path, split: SplitForward, row: Row) -> float:
    """The largest difference of a logit at the row's trained positions, relative to the largest logit.

    The whole model's graph is built on weights that are not in memory; without the model, each is read when its turn
    comes and dropped after it.
    """
    hidden, queries, chosen, _, weights = split.arrays([row])
    count = int((np.array(weights) != 0).sum())
    tokens, all_weights = batch_arrays([row])
    whole = load(folder, lazy=True, held=0).model
    theirs = whole(tokens[:, :-1])[0][mx.array(np.flatnonzero(np.array(all_weights[0])))].astype(mx.float32)
    del whole
    mx.eval(theirs)
    ours = split.logits(hidden, queries, chosen)[:count].astype(mx.float32)
    return scalar(mx.abs(ours - theirs).max() / mx.abs(theirs).max())
