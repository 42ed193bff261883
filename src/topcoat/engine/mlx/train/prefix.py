"""The prefix of many rows: its keys and values are computed once, and every row attends to them.

mlx-lm's stock layers take these classes as caches (`offset` and `update_and_fetch`).
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from topcoat.engine.protocol import Row

__all__ = ["AfterPrefix", "ChosenQueries", "PrefixKeys", "shared_prefix"]

SHORTEST = 8
"""The fewest shared tokens that are worth a pass of their own."""


class PrefixKeys:
    """Keeps the keys and values (1, heads, prefix, dim) of the prefix in one layer."""

    offset = 0
    keys: mx.array
    values: mx.array

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.keys, self.values = keys, values
        return keys, values


class AfterPrefix:
    """The rows after the prefix, if there is one. Each row also sees the prefix's keys and values."""

    keys: mx.array
    values: mx.array

    def __init__(self, prefix: PrefixKeys | None) -> None:
        self._prefix = prefix
        self.offset = prefix.keys.shape[2] if prefix else 0

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """All keys and values (rows, heads, prefix + length, dim), which are also kept."""
        if self._prefix is not None:
            rows = keys.shape[0]
            before = [mx.broadcast_to(x, (rows, *x.shape[1:])) for x in (self._prefix.keys, self._prefix.values)]
            keys, values = mx.concatenate([before[0], keys], axis=2), mx.concatenate([before[1], values], axis=2)
        self.keys, self.values = keys, values
        return keys, values


class ChosenQueries:
    """A second call of a layer for some positions only, over the keys and values of a first call.

    `offset` (rows,) is the first position of each row. The keys of the second call itself aren't needed.
    """

    def __init__(self, complete: AfterPrefix, offset: mx.array) -> None:
        self._complete = complete
        self.offset = offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return self._complete.keys, self._complete.values


def shared_prefix(rows: Sequence[Row]) -> list[int]:
    """The tokens that all rows begin with, up to the last one before a token whose prediction is trained.

    Empty if they are too few to be worth a pass.
    """
    limit = min(int(np.flatnonzero(row.trained)[0]) if row.trained.any() else len(row.tokens) for row in rows) - 1
    first = rows[0].tokens[: max(0, limit)]
    for row in rows:
        different = np.flatnonzero(row.tokens[: len(first)] != first)
        if len(different):
            first = first[: int(different[0])]
    return [int(token) for token in first] if len(first) >= SHORTEST else []
