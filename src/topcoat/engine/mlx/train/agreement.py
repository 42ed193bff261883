"""Chooses the forward pass of training: the split one, if it agrees with the whole model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_weights
from topcoat.engine.mlx.model.memory import hold, require_room
from topcoat.engine.mlx.model.scalar import scalar
from topcoat.engine.mlx.train.forward import Forward, SplitForward, WholeForward
from topcoat.engine.mlx.train.loss import batch_arrays
from topcoat.engine.mlx.train.prefix import shared_prefix
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.protocol import Row
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.store.cache import ArrayCache

__all__ = ["choose_forward"]

TOLERANCE = 1e-4
"""The largest accepted difference of split and whole model, relative to the largest logit, with float32 states.

Rounding is below 1e-5 there. A missing scaling of the embedding, or a state that isn't passed on, makes 1e-1 and more.
A mask that hides one token too many may make 1e-3, which rounding to 16 bits (1e-2 and more) would hide.
"""


def choose_forward(
    model: nn.Module,
    folder: Path,
    compute: Compute,
    rows: Sequence[Row],
    cache: ArrayCache,
    sink: Sink,
    *,
    dropout: float,
    by: str,
) -> Forward:
    """A split forward over stored activations if it agrees with the whole model, else the whole.

    It compares the longest and the shortest row, because a sliding window hides nothing from a shorter row.

    `model` has new adapters (whose deltas are zero) and may not be in memory yet. If the forward is split, the layers
    below the lowest adapter are removed from `model`. With `dropout` no prefix is shared, because a prefix that is
    computed once can't have random zeros for each row.
    """
    names = list(adapter_weights(model))
    layers = [int(name.split(".")[2]) for name in names if name.startswith("model.layers.")]
    if len(layers) < len(names) or not layers:
        return _whole(model, compute, sink, "adapters outside the layers: no trunk to compute once")
    model.eval()  # with dropout, any two passes would differ
    try:
        prefix = shared_prefix(rows) if dropout == 0.0 else []
        trunk = Trunk(folder, compute, min(layers), prefix, cache, computed_by=by)
        judged = _extremes(rows)
        known = [_known_difference(trunk, row, cache) for row in judged]
        differences = [difference for difference in known if difference is not None]
        if len(differences) < len(judged):
            exact = trunk
            if compute is Compute.AS_STORED:
                exact = Trunk(folder, compute, min(layers), prefix, cache, computed_by=by, exact=True)
            exact.compute(judged, sink)
            with _in_float32(model):
                split = SplitForward(model, exact)
                differences = [_difference(folder, compute, split, row) for row in judged]
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        return _whole(
            model, compute, sink, f"this architecture's layers can't be called one by one ({error}): no trunk"
        )
    if not all(difference <= TOLERANCE for difference in differences):  # false for NaN
        return _whole(
            model,
            compute,
            sink,
            f"split and whole model differ by {max(differences):.1e} of the largest logit: no trunk",
        )
    if None in known:
        for row, found in zip(judged, differences, strict=True):
            cache.put(_agreement_key(trunk, row), np.array([found], np.float32))
    _drop_trunk(model, trunk.split)
    require_room(model, compute, training=True)  # raises before any time is spent on the trunk
    trunk.compute(rows, sink)
    hold(model, compute, training=True)
    split = SplitForward(model, trunk)
    said = f"trunk of {trunk.split} layers computed once a row, {len(_layers(model)) - trunk.split} trained on"
    if trunk.prefix:
        said += f"; a prefix of {counted(len(trunk.prefix), 'token')} shared by all {counted(len(rows), 'row')}"
    sink.emit(Note(said))
    return split


def _extremes(rows: Sequence[Row]) -> list[Row]:
    """The longest and the shortest of the rows that train something; one row if there is no other."""
    trained = sorted((row for row in rows if row.trained[1:].any()), key=lambda row: len(row.tokens))
    return [trained[-1]] if len(trained) == 1 else [trained[-1], trained[0]]


def _layers(model: nn.Module) -> list[nn.Module]:
    """The model's layers. The lower ones may have been dropped."""
    found: list[nn.Module] = model.model.layers
    return found


def _whole(model: nn.Module, compute: Compute, sink: Sink, why: str) -> WholeForward:
    hold(model, compute, training=True)
    sink.emit(Note(why))
    return WholeForward()


def _drop_trunk(model: nn.Module, split: int) -> None:
    """Remove the layers below `split`, and an embedding that isn't the head's."""
    for index in range(split):
        _layers(model)[index] = nn.Module()
    if "lm_head" in model:
        model.model.embed_tokens = nn.Module()


def _agreement_key(trunk: Trunk, row: Row) -> str:
    return f"{trunk.key(row)}-agrees"


def _known_difference(trunk: Trunk, row: Row, cache: ArrayCache) -> float | None:
    """The difference that an earlier training measured on the same trunk and row, if it agreed."""
    found = cache.get(_agreement_key(trunk, row))
    return None if found is None else float(found[0])


@contextmanager
def _in_float32(model: nn.Module) -> Iterator[None]:
    """Make the model's states and its unpacked weights float32 during the `with` block."""
    as_loaded = model.parameters()
    model.set_dtype(mx.float32)
    try:
        yield
    finally:
        model.update(as_loaded)


def _difference(folder: Path, compute: Compute, split: SplitForward, row: Row) -> float:
    """The largest difference of a logit at the row's trained positions, relative to the largest logit, in float32.

    The whole model's graph is built on weights that aren't in memory. Each is read when it is needed and dropped
    afterwards.
    """
    hidden, queries, chosen, _, weights = split.arrays([row])
    count = int((np.array(weights) != 0).sum())
    tokens, all_weights = batch_arrays([row])
    whole = load(folder, compute, lazy=True, held=0).model
    whole.set_dtype(mx.float32)
    theirs = whole(tokens[:, :-1])[0][mx.array(np.flatnonzero(np.array(all_weights[0])))].astype(mx.float32)
    del whole
    mx.eval(theirs)
    ours = split.logits(hidden, queries, chosen)[:count].astype(mx.float32)
    return scalar(mx.abs(ours - theirs).max() / mx.abs(theirs).max())
