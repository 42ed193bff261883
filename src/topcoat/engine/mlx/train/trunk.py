"""The trunk: the layers below the lowest adapted one. Their activations are computed once a row and kept on disk.

The pass goes layer by layer over all rows. A layer's weights are read, used and dropped, so the pass takes the memory
of one layer and the activations. A long row goes through a layer by pieces. Each row is computed alone, so its
activations don't depend on other rows, and an interrupted pass continues with the same bits.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.mlx.model.folder import load, weight_files
from topcoat.engine.mlx.model.shards import Shard
from topcoat.engine.mlx.ranks.group import ALONE, Ranks, shares
from topcoat.engine.mlx.train.cut import Cut, LayerCall, Leaf, Plan, Values, drop_weights, leaves_of, stop
from topcoat.engine.mlx.train.loss import PAD_TO, padded
from topcoat.engine.mlx.train.prefix import Contents, contents_of, masks_of
from topcoat.engine.mlx.train.recompute import at_positions, keys_and_values
from topcoat.engine.protocol import Row
from topcoat.errors import StorageFault
from topcoat.progress import Note, Silent, Sink, task
from topcoat.quantity import counted
from topcoat.store.cache import ArrayCache

__all__ = ["Trunk", "packed", "unpacked"]

Tokens = NDArray[np.int32]

TOGETHER = 1 << 29
"""The most bytes of activations in one pass through the layers. More rows take another pass."""

AT_ONCE = 4096
"""The most tokens of a row that go through a layer at once. Otherwise an MLP's states outweigh all that is kept."""


class Trunk:
    """Layers 0 to `split` - 1 of the model in `folder`, over rows that all begin with the tokens `prefix`.

    Its values are those that these layers return and others get: mostly the states of the uppermost one. They have the
    dtype that the model computes in or, with `exact`, float32. `plan` is the model's, if it is known. A plan without
    caches has no prefix. Without `pieces`, a long row goes through a layer at once. `seconds` is the time that
    computing them took.
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
        plan: Plan | None = None,
        pieces: bool = True,
    ) -> None:
        self.seconds = 0.0
        self.split = split
        self.prefix = list(prefix)
        self.plan = plan or Plan.of(load(folder, compute, lazy=True, held=0).model)
        self._pieces = pieces
        self._folder = folder
        self._compute = compute
        self._exact = exact
        self._cache = cache
        self._asked: tuple[Sequence[Row], Sink] = ((), Silent())
        self._key = hashlib.sha256(
            json.dumps(
                [
                    _trunk_digest(folder, split, self.plan.container),
                    split,
                    self.prefix,
                    computed_by + " float32" * exact + " without caches" * (self.plan.stock is None),
                ]
            ).encode()
        ).digest()

    def compute(self, rows: Sequence[Row], sink: Sink, ranks: Ranks = ALONE) -> None:
        """Compute and store the missing states of rows and of the prefix.

        The ranks share the rows that are missing anywhere, and then give each other their states.
        """
        self._asked = (rows, sink)
        refused = self._cache.refused
        missing = self._missing_anywhere(rows, ranks)
        whole = not missing and (not self.prefix or self._known(self._prefix_key) is not None)
        if self._cache.refused > refused:
            files = counted(self._cache.refused - refused, "file")
            said = f"{files} of the trunk's cache were damaged or of an earlier version: they are computed again"
            sink.emit(Note(said, warning=True))
        if whole and ranks.size == 1:
            return
        started = time.perf_counter()
        owners = shares([len(row.tokens) for row in missing], ranks.size)
        own = [missing[index] for index in owners[ranks.rank]]
        groups = _groups(own, TOGETHER // (4 * max(1, self.plan.numbers(self.split))))
        with task(sink, "trunk", total=len(groups) * self.split, unit="layer") as running:
            for number, group in enumerate(groups):
                for layers in self._pass([self._own(row) for row in group]):
                    running.advance(number * self.split + layers, "")
            running.result = f"{counted(len(own), 'row')} through {counted(self.split, 'layer')}"
        if ranks.size > 1 and missing:
            self._exchange(missing, owners, ranks)
        self.seconds += time.perf_counter() - started

    def _missing_anywhere(self, rows: Sequence[Row], ranks: Ranks) -> list[Row]:
        """The rows, each once, whose states some rank doesn't have."""
        every = {self.key(row): row for row in rows}
        missing = mx.array([self._known(key) is None for key in every]).astype(mx.int32)
        anywhere = ranks.sum({"missing": missing})["missing"].tolist()
        return [row for row, count in zip(every.values(), anywhere, strict=True) if count]

    def _exchange(self, missing: Sequence[Row], owners: Sequence[Sequence[int]], ranks: Ranks) -> None:
        """Give the others the states of this rank's rows, and store those of theirs."""
        own = {index: self._stored(self.key(missing[index])) for index in owners[ranks.rank]}
        shapes = ranks.gathered(
            {index: [values[leaf].shape for leaf in self.crossing] for index, values in own.items()}
        )
        (dtypes,) = {tuple(kinds) for kinds in ranks.gathered(self._dtypes(own)) if kinds}
        for rank, told in enumerate(shapes):
            for index, shape in sorted((int(index), shape) for index, shape in told.items()):
                given = [own[index][leaf] if rank == ranks.rank else None for leaf in self.crossing]
                found = [
                    ranks.array(value, shape[place], getattr(mx, dtypes[place])) for place, value in enumerate(given)
                ]
                if rank != ranks.rank:
                    self._put(self.key(missing[index]), dict(zip(self.crossing, found, strict=True)), 0)

    def _dtypes(self, own: Mapping[int, Values]) -> list[str]:
        """The names of the values' dtypes; none if this rank has no row."""
        first = next(iter(own.values()), None)
        return [] if first is None else [str(first[leaf].dtype).rsplit(".", 1)[-1] for leaf in self.crossing]

    def values(self, row: Row) -> Values:
        """What enters the top for a row's own tokens, without the prefix. Call `compute` first.

        Values that are lost meanwhile are computed again.
        """
        return self._stored(self.key(row))

    def prefix_values(self) -> Values:
        """The same for the prefix."""
        return self._stored(self._prefix_key)

    def states(self, row: Row) -> mx.array:
        """The states (own tokens, width) of a row that enter the top. Raises ValueError if something else does too."""
        if not self.plan.plain(self.split - 1) or len(self.crossing) > 1:
            raise ValueError("the layers hand on more than states")
        return self.values(row)[self.crossing[0]][0]

    @property
    def crossing(self) -> list[Leaf]:
        """The keys of the values."""
        return self.plan.crossing(self.split)

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

    def _known(self, key: str) -> Values | None:
        found = {leaf: self._cache.get(_name(key, number)) for number, leaf in enumerate(self.crossing)}
        known = {leaf: unpacked(array) for leaf, array in found.items() if array is not None}
        if len(known) < len(found):
            return None
        return {leaf: array[0] if self.plan.same(leaf) else array for leaf, array in known.items()}

    def _stored(self, key: str) -> Values:
        found = self._known(key)
        if found is None:
            self._compute_again()
            found = self._known(key)
        if found is None:
            raise StorageFault("the trunk's states are gone from the cache as soon as they are written to it")
        return found

    def _put(self, key: str, values: Values, padding: int) -> None:
        """Store values without what belongs to the last `padding` positions."""
        for number, leaf in enumerate(self.crossing):
            array, axis = values[leaf], self.plan.axes[leaf].length
            if padding and axis is not None:
                array = array[(slice(None),) * axis + (slice(0, array.shape[axis] - padding),)]
            self._cache.put(_name(key, number), packed(array[None] if self.plan.same(leaf) else array))

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
        """One pass over the layers. It yields after each layer, and stores all values at its end."""
        model = load(self._folder, self._compute, lazy=True, held=0).model
        if self._exact:
            model.set_dtype(mx.float32)
        cut = Cut(model, self.plan)
        shared = mx.array([self.prefix])
        of_prefix: Values = {}
        inputs = [mx.array(_padded(tokens)[None]) for tokens in rows]
        values: list[Values] = [{} for _ in rows]
        for index in range(self.split):
            mx.eval(cut.layers[index].parameters())
            known: list[Contents] | None = None
            if self.prefix:
                of_prefix, known = self._through(cut, index, shared, of_prefix, None)
                mx.eval(list(of_prefix.values()), leaves_of(known))
            for number, tokens in enumerate(inputs):
                values[number], _ = self._through(cut, index, tokens, values[number], known)
                mx.eval(list(values[number].values()))
            drop_weights(cut.layers[index])
            yield index + 1
        for row, given, own in zip(rows, inputs, values, strict=True):
            self._put(self._key_of(row), own, given.shape[1] - len(row))
        if self.prefix:
            self._put(self._prefix_key, of_prefix, 0)

    def _through(
        self, cut: Cut, index: int, tokens: mx.array, values: Values, before: Sequence[Contents] | None
    ) -> tuple[Values, list[Contents]]:
        """`values` after layer `index`, and what its caches then hold, behind a prefix whose own hold `before`."""
        caches = self.plan.caches(before, len(self.prefix) if before else 0, 1)
        masks = masks_of(caches or [])

        def station(call: LayerCall) -> None:
            if tokens.shape[1] > AT_ONCE and self._pieces and self.plan.plain(index) and caches:
                known = keys_and_values(call)
                stop(at_positions(call, masks, mx.arange(tokens.shape[1])[None], known))
            stop(call())

        output = cut.run(tokens, station, split=index, values=values, caches=caches)
        after = values | {(index, place): value for place, value in enumerate(leaves_of(output))}
        return {leaf: after[leaf] for leaf in self.plan.crossing(index + 1)}, [contents_of(c) for c in caches or []]


def _name(key: str, number: int) -> str:
    """The cache's key of one of the values that are stored together."""
    return f"{key}-{number}" if number else key


def _padded(tokens: Tokens) -> Tokens:
    return np.pad(tokens, (0, max(PAD_TO, padded(len(tokens))) - len(tokens)))


def packed(array: mx.array) -> NDArray[np.generic]:
    """The array for the cache. bfloat16, which numpy lacks, is stored as its bits."""
    return np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array)


def unpacked(stored: NDArray[np.generic]) -> mx.array:
    """What `packed` was given."""
    array = mx.array(stored)
    return array.view(mx.bfloat16) if array.dtype == mx.uint16 else array


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


def _trunk_digest(folder: Path, split: int, container: str) -> str:
    """sha256 of the weights and settings that decide the values at `split`. Models that share a trunk share it.

    `container` is the name of the list of layers.
    """
    files = tuple((path.resolve(), path.stat().st_size, path.stat().st_mtime_ns) for path in weight_files(folder))
    config = {key: value for key, value in read_config(folder).items() if not key.startswith("quantization")}
    tensors = _tensors_digest(files, split, container)
    return hashlib.sha256((json.dumps(config, sort_keys=True) + tensors).encode()).hexdigest()


@lru_cache(maxsize=16)
def _tensors_digest(files: tuple[tuple[Path, int, int], ...], split: int, container: str) -> str:
    """sha256 over name, type, shape and bytes of every tensor that may be part of the trunk, by name."""
    shards = [Shard.open(path) for path, _, _ in files]
    where = {name: shard for shard in shards for name in shard.tensors if _below(name, split, container)}
    total = hashlib.sha256()
    for name in sorted(where):
        tensor = where[name].tensors[name]
        total.update(json.dumps([name, tensor["dtype"], tensor["shape"]]).encode())
        for chunk in where[name].chunks(name):
            total.update(chunk)
    return total.hexdigest()


_AFTER_ALL = re.compile(r"(?:^|\.)(?:lm_head|model\.norm)\.")


def _below(name: str, split: int, container: str) -> bool:
    """Whether a tensor may belong to the trunk. Tensors of later layers, of the final norm and of the head don't."""
    layer = re.search(rf"(?:^|\.){re.escape(container)}\.(\d+)\.", name)
    if layer:
        return int(layer[1]) < split
    return not _AFTER_ALL.search(name)
