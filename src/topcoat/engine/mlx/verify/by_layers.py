"""Reads references layer by layer: what two models share is computed once, and the head at the compared positions only.

It needs models whose layers can be called one after another, and whose batches keep the prefix apart (`Prefix.way`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import KVCache

from topcoat.engine.mlx.cpu.quicken import on_cpu
from topcoat.engine.mlx.generate.generate import PREFILL, Prefix
from topcoat.engine.mlx.generate.shared_keys import OwnKeys
from topcoat.engine.mlx.train.trunk import Trunk, packed, unpacked
from topcoat.engine.mlx.verify.rows import Place, Row, padded
from topcoat.engine.protocol import Row as TokenRow
from topcoat.progress import Sink
from topcoat.store.cache import ArrayCache

__all__ = ["KeptStates", "LayerReader"]

LOGITS = 1 << 24
"""The most logits of a model that exist at the same time."""
WIDE = 8192
"""The most tokens in one pass on a GPU, which is idle with `PREFILL`."""


class KeptStates:
    """States in a cache on disk: those that leave the layers which models share, and the base's at compared positions.

    `base` is the digest of the base's weights, "" if there is none.
    """

    def __init__(self, cache: ArrayCache, trunk: Trunk, base: str) -> None:
        self._cache, self._trunk, self._base = cache, trunk, base
        self._known: dict[Row, TokenRow] = {}

    def compute(self, rows: Sequence[Row], sink: Sink) -> None:
        """Compute and store what is missing of the states of `rows` that leave the shared layers."""
        self._known |= {row: _as_trained(row) for row in rows}
        self._trunk.compute([*self._known.values()], sink)

    def states(self, rows: Sequence[Row]) -> mx.array:
        """The states (rows, length, width) of rows for the tokens after the prefix, padded on the right."""
        states = [self._trunk.states(self._known[row]) for row in rows]
        longest = max(len(state) for state in states)
        return mx.stack([mx.pad(state, [(0, longest - len(state)), (0, 0)]) for state in states])

    def final(self, rows: Sequence[Row]) -> mx.array | None:
        """The base's normed states (places, width) at the places of rows, one after another; None if one is missing."""
        found = [self._cache.get(self._key(row)) for row in rows]
        known = [array for array in found if array is not None]
        return mx.concatenate([unpacked(array) for array in known]) if len(known) == len(rows) else None

    def keep(self, rows: Sequence[Row], final: mx.array) -> None:
        """Store what `final` gives."""
        start = 0
        for row in rows:
            end = start + row.reference.positions
            self._cache.put(self._key(row), packed(final[start:end]))
            start = end

    def _key(self, row: Row) -> str:
        name = f"{self._trunk.key(self._known[row])} {len(row.prompt)} {self._base}"
        return hashlib.sha256(name.encode()).hexdigest()


class LayerReader:
    """Reads with the model of each prefix. All share the lowest `split` layers, whose states may be `kept`."""

    def __init__(self, prefixes: Sequence[Prefix], split: int, kept: KeptStates | None = None) -> None:
        self._prefixes = prefixes
        self._length = prefixes[0].length
        self._split = split
        self._kept = kept

    def batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        most = PREFILL if on_cpu() else WIDE
        batch: list[Row] = []
        for row in sorted(rows, key=lambda row: -len(row.tokens)):
            if batch and (len(batch) + 1) * (len(batch[0].tokens) - self._length) > most:
                yield batch
                batch = []
            batch.append(row)
        yield batch

    def logits(self, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Place], Sequence[mx.array]]]:
        span = max(len(row.read) for row in rows)
        longest = max(len(row.tokens) for row in rows) - self._length
        begins = [min(len(row.prompt) - 1 - self._length, longest - span) for row in rows]
        hidden = self._kept.states(rows) if self._kept else self._computed(rows)
        places: list[Place] = []
        flat = []
        for number, (row, begin) in enumerate(zip(rows, begins, strict=True)):
            first = len(row.prompt) - 1 - self._length - begin
            places += [(row, at) for at in range(row.reference.positions)]
            flat += [number * span + first + at for at in range(row.reference.positions)]
        queries = mx.array(np.array(begins)[:, None] + np.arange(span)[None])
        chosen = mx.array(flat)
        final = [self._final(prefix, hidden, queries, chosen) for prefix in self._prefixes[:1]]
        if len(self._prefixes) > 1:
            final.append(self._of_base(rows, hidden, queries, chosen))
        mx.eval(final)
        start, width = 0, 1
        heads = [_head(prefix.model) for prefix in self._prefixes]
        while start < len(places):
            part = slice(start, start + width)
            logits = [head(states[part]) for head, states in zip(heads, final, strict=True)]
            yield places[part], logits
            start += width
            width = max(1, LOGITS // logits[0].shape[-1])

    def _computed(self, rows: Sequence[Row]) -> mx.array:
        """The states that leave the shared layers, computed for this batch."""
        prefix = self._prefixes[0]
        inner = prefix.model.model
        hidden = inner.embed_tokens(padded([row.tokens[self._length :] for row in rows]))
        return _through(inner.layers[: self._split], prefix.shared[: self._split], hidden)

    def _of_base(self, rows: Sequence[Row], hidden: mx.array, queries: mx.array, chosen: mx.array) -> mx.array:
        known = self._kept.final(rows) if self._kept else None
        if known is not None:
            return known
        final = self._final(self._prefixes[1], hidden, queries, chosen)
        if self._kept:
            self._kept.keep(rows, final)
        return final

    def _final(self, prefix: Prefix, hidden: mx.array, queries: mx.array, chosen: mx.array) -> mx.array:
        """The normed states (places, width) that the head reads: those `chosen` of the queries (rows, span), flat.

        The last layer is called twice: first for its keys and values, then at the queries. MLX is lazy, so it computes
        nothing else of the first call.
        """
        inner = prefix.model.model
        *below, last = inner.layers[self._split :]
        *shared, of_last = prefix.shared[self._split :]
        hidden = _through(below, shared, hidden)
        keys = _Known(of_last, hidden.shape[0])
        last(hidden, _causal(hidden.shape[1]), keys)
        few = mx.take_along_axis(hidden, queries[..., None], axis=1)
        seen = mx.arange(hidden.shape[1]) <= queries[:, None, :, None]
        keys.ask(queries[:, 0])
        final: mx.array = inner.norm(last(few, seen, keys).reshape(-1, hidden.shape[-1])[chosen])
        return final


class _Known(OwnKeys):
    """The keys and values that one call gives, at positions after the prefix; then those for later calls of `ask`."""

    def __init__(self, shared: KVCache, rows: int) -> None:
        super().__init__(shared, rows)
        self.offset = shared.offset
        self._before = shared.offset
        self._asked = False

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        if not self._asked:
            self.keys, self.values = keys, values
        return self.keys, self.values

    def ask(self, begins: mx.array) -> None:
        """The next call is for positions from `begins` (rows,) on, and sees the keys and values of the first one."""
        self._asked = True
        self.offset = begins + self._before


def _through(layers: Sequence[nn.Module], shared: Sequence[KVCache], hidden: mx.array) -> mx.array:
    mask = _causal(hidden.shape[1])
    for layer, cache in zip(layers, shared, strict=True):
        hidden = layer(hidden, mask, _Known(cache, hidden.shape[0]))
    return hidden


def _causal(length: int) -> mx.array:
    """Which keys (1, 1, length, length) after the prefix a position sees: its own and those before it."""
    places = mx.arange(length)
    return (places[None] <= places[:, None])[None, None]


def _head(model: nn.Module) -> Callable[[mx.array], mx.array]:
    head: Callable[[mx.array], mx.array] = model.lm_head if "lm_head" in model else model.model.embed_tokens.as_linear
    return head


def _as_trained(row: Row) -> TokenRow:
    """The row as training has it: with a token after the last one that is read."""
    tokens = np.array([*row.tokens, 0], np.int32)
    return TokenRow(tokens, np.arange(len(tokens)) >= len(row.prompt))
