"""The trunk: the layers below the lowest adapted one. Their activations are computed once a row and kept on disk.

The pass goes layer by layer over all rows. A layer's weights are read, used and dropped, so the pass takes the memory
of one layer and the activations. Each row is computed alone, so its activations don't depend on other rows, and an
interrupted pass continues with the same bits.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.base import create_attention_mask
from numpy.typing import NDArray

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.config import read_config, size_of
from topcoat.engine.mlx.model.folder import load, weight_files
from topcoat.engine.mlx.model.shards import Shard
from topcoat.engine.mlx.train.loss import padded
from topcoat.engine.mlx.train.prefix import AfterPrefix, PrefixKeys
from topcoat.engine.protocol import Row
from topcoat.errors import StorageFault
from topcoat.progress import Note, Silent, Sink, task
from topcoat.quantity import counted
from topcoat.store.cache import ArrayCache

__all__ = ["Trunk", "run_layers"]

Tokens = NDArray[np.int32]

TOGETHER = 1 << 29
"""The most bytes of activations in one pass through the layers. More rows take another pass."""


class Trunk:
    """Layers 0 to `split` - 1 of the model in `folder`, over rows that all begin with the tokens `prefix`.

    The states have the dtype that the model computes in or, with `exact`, float32. `seconds` is the time that computing
    them took.
    """

    def __init__(
        self,
        folder: Path,
        compute: Compute,
        split: int,
        prefix: Sequence[int],
        cache: ArrayCache,
        *,
        computed_by: str,
        exact: bool = False,
    ) -> None:
        self.seconds = 0.0
        self.split = split
        self.prefix = list(prefix)
        self._folder = folder
        self._compute = compute
        self._exact = exact
        self._cache = cache
        self._asked: tuple[Sequence[Row], Sink] = ((), Silent())
        self._key = hashlib.sha256(
            json.dumps([_trunk_digest(folder, split), split, self.prefix, computed_by + " float32" * exact]).encode()
        ).digest()

    def compute(self, rows: Sequence[Row], sink: Sink) -> None:
        """Compute and store the missing states of rows and of the prefix."""
        self._asked = (rows, sink)
        refused = self._cache.refused
        missing = list({key: row for row in rows if self._cache.get(key := self.key(row)) is None}.values())
        whole = not missing and (not self.prefix or self._cache.get(self._prefix_key) is not None)
        if self._cache.refused > refused:
            files = counted(self._cache.refused - refused, "file")
            said = f"{files} of the trunk's cache were damaged or of an earlier version: they are computed again"
            sink.emit(Note(said, warning=True))
        if whole:
            return
        started = time.perf_counter()
        width = size_of(read_config(self._folder), "hidden_size", self._folder)
        groups = _groups(missing, TOGETHER // (4 * width))
        with task(sink, "trunk", total=len(groups) * self.split, unit="layer") as running:
            for number, group in enumerate(groups):
                for layers in self._pass([self._own(row) for row in group]):
                    running.advance(number * self.split + layers, "")
            running.result = f"{counted(len(missing), 'row')} through {counted(self.split, 'layer')}"
        self.seconds += time.perf_counter() - started

    def states(self, row: Row) -> mx.array:
        """The states (own tokens, width) of a row that enter the top, without the prefix. Call `compute` first.

        States that are lost meanwhile are computed again.
        """
        return self._stored(self.key(row))

    def prefix_states(self) -> mx.array:
        """The states (1, prefix, width) of the prefix that enter the top."""
        return self._stored(self._prefix_key)[None]

    def key(self, row: Row) -> str:
        """The cache key of a row's states: a digest of everything that decides them."""
        return self._key_of(self._own(row))

    def _own(self, row: Row) -> Tokens:
        """The tokens after the prefix, without the last one, which predicts nothing."""
        return row.tokens[len(self.prefix) : -1]

    @property
    def _prefix_key(self) -> str:
        return hashlib.sha256(self._key + b"prefix").hexdigest()

    def _key_of(self, tokens: Tokens) -> str:
        return hashlib.sha256(self._key + np.ascontiguousarray(tokens, np.int32).tobytes()).hexdigest()

    def _stored(self, key: str) -> mx.array:
        found = self._cache.get(key)
        if found is None:
            self._compute_again()
            found = self._cache.get(key)
        if found is None:
            raise StorageFault("the trunk's states are gone from the cache as soon as they are written to it")
        array = mx.array(found)
        return array.view(mx.bfloat16) if array.dtype == mx.uint16 else array

    def _compute_again(self) -> None:
        """Compute what was computed before and is gone: the cache may be lost at any time, also during a training."""
        rows, sink = self._asked
        sink.emit(Note("states of the trunk are gone from the cache and are computed again"))
        # The training draws from the random state next, and making a model draws from it too. It is a seed's two words.
        (state,) = cast(Iterable[mx.array], mx.random.state)
        high, low = np.array(state).tolist()
        self.compute(rows, sink)
        mx.random.seed(high << 32 | low)

    def _pass(self, rows: Sequence[Tokens]) -> Iterator[int]:
        """One pass over the layers. It yields after each layer, and stores all states at its end."""
        model = load(self._folder, self._compute, lazy=True, held=0).model
        if self._exact:
            model.set_dtype(mx.float32)
        inner = model.model
        embed = inner.embed_tokens
        prefix = embed(mx.array([self.prefix])) if self.prefix else None
        states = [embed(mx.array(_padded(tokens)[None])) for tokens in rows]
        mx.eval(prefix, states)
        for index in range(self.split):
            layer, inner.layers[index] = inner.layers[index], None
            mx.eval(layer.parameters())
            keys = None
            if prefix is not None:
                keys = PrefixKeys()
                prefix = run_layers([layer], prefix, [keys])
                mx.eval(prefix, keys.keys, keys.values)
            for number, state in enumerate(states):
                states[number] = run_layers([layer], state, [AfterPrefix(keys)])
                mx.eval(states[number])
            del layer
            yield index + 1
        for tokens, state in zip(rows, states, strict=True):
            self._cache.put(self._key_of(tokens), _numpy(state[0, : len(tokens)]))
        if prefix is not None:
            self._cache.put(self._prefix_key, _numpy(prefix[0]))


def run_layers(layers: Sequence[nn.Module], hidden: mx.array, caches: Sequence[object]) -> mx.array:
    """`hidden` (rows, length, width) through each layer with its cache."""
    mask = create_attention_mask(hidden, None)
    for layer, cache in zip(layers, caches, strict=True):
        hidden = layer(hidden, mask, cache)
    return hidden


def _padded(tokens: Tokens) -> Tokens:
    return np.pad(tokens, (0, padded(len(tokens)) - len(tokens)))


def _numpy(array: mx.array) -> NDArray[np.generic]:
    """The array for the cache. bfloat16, which numpy lacks, is stored as its bits."""
    return np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array)


def _groups(rows: Sequence[Row], most: int) -> list[list[Row]]:
    """Groups of rows with at most `most` tokens together (or one longer row). One empty group if there are no rows."""
    groups: list[list[Row]] = [[]]
    tokens = 0
    for row in rows:
        tokens += len(row.tokens)
        if groups[-1] and tokens > most:
            groups.append([])
            tokens = len(row.tokens)
        groups[-1].append(row)
    return groups


_ABOVE = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def _trunk_digest(folder: Path, split: int) -> str:
    """sha256 of the weights and settings that decide the states at `split`. Models that share a trunk share it."""
    files = tuple((path.resolve(), path.stat().st_size, path.stat().st_mtime_ns) for path in weight_files(folder))
    config = {key: value for key, value in read_config(folder).items() if not key.startswith("quantization")}
    return hashlib.sha256((json.dumps(config, sort_keys=True) + _tensors_digest(files, split)).encode()).hexdigest()


@lru_cache(maxsize=16)
def _tensors_digest(files: tuple[tuple[Path, int, int], ...], split: int) -> str:
    """sha256 over name, type, shape and bytes of every tensor that may be part of the trunk, by name."""
    shards = [Shard.open(path) for path, _, _ in files]
    where = {name: shard for shard in shards for name in shard.tensors if _below(name, split)}
    total = hashlib.sha256()
    for name in sorted(where):
        tensor = where[name].tensors[name]
        total.update(json.dumps([name, tensor["dtype"], tensor["shape"]]).encode())
        for chunk in where[name].chunks(name):
            total.update(chunk)
    return total.hexdigest()


def _below(name: str, split: int) -> bool:
    """Whether a tensor may belong to the trunk. Tensors of later layers, of the final norm and of the head don't."""
    layer = _ABOVE.search(name)
    if layer:
        return int(layer[1]) < split
    return not name.startswith(("lm_head.", "model.norm."))
