"""How many of the lowest layers two models share."""

from __future__ import annotations

import re
from pathlib import Path

from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.mlx.model.folder import weight_files
from topcoat.engine.mlx.model.shards import Shard

__all__ = ["shared_layers"]

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def shared_layers(model: Path, base: Path) -> int:
    """The number of layers, from the lowest up, that are equal byte by byte in both folders, as are the embeddings.

    0 if the settings differ. Files that are one on disk, as a fused model's are, aren't read.
    """
    if _settings(model) != _settings(base):
        return 0
    ours, theirs = _tensors(model), _tensors(base)
    layers = {int(found[1]) for name in ours.keys() | theirs.keys() if (found := _LAYER.search(name))}
    names = sorted(ours.keys() | theirs.keys(), key=_layer_of)
    for name in names:
        if name.startswith(("lm_head.", "model.norm.")):
            continue
        if name not in ours or name not in theirs or not _equal(ours[name], theirs[name], name):
            return max(0, _layer_of(name))
    return len(layers)


def _settings(folder: Path) -> dict[str, object]:
    return {key: value for key, value in read_config(folder).items() if not key.startswith("quantization")}


def _tensors(folder: Path) -> dict[str, Shard]:
    shards = [Shard.open(path) for path in weight_files(folder)]
    return {name: shard for shard in shards for name in shard.tensors}


def _layer_of(name: str) -> int:
    """The number of a tensor's layer; -1 if it is in none."""
    found = _LAYER.search(name)
    return int(found[1]) if found else -1


def _equal(one: Shard, other: Shard, name: str) -> bool:
    if one.path.samefile(other.path):
        return True
    shapes = [{key: shard.tensors[name][key] for key in ("dtype", "shape")} for shard in (one, other)]
    return shapes[0] == shapes[1] and all(
        ours == theirs for ours, theirs in zip(one.chunks(name), other.chunks(name), strict=True)
    )
