"""The prefix of many rows: what layers keep of it is computed once, and every row goes on behind it.

mlx-lm's models take these classes as caches. Attention keeps keys and values, recurrent layers their states. None of
them drops what a window hides: masks hide it, as in a forward without caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.base import create_causal_mask
from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    ChunkedKVCache,
    ConcatenateKVCache,
    KVCache,
    RotatingKVCache,
)

from topcoat.engine.protocol import Row

__all__ = [
    "AfterPrefix",
    "Caches",
    "ChosenQueries",
    "Contents",
    "KeysAndValues",
    "Masks",
    "States",
    "caches_after",
    "contents_of",
    "is_ours",
    "masks_of",
    "require_known",
    "shared_prefix",
]

KeysAndValues = tuple[mx.array, mx.array]
"""A layer's keys and values, each (rows, heads, length, dim)."""

Contents = Any
"""What a cache holds: keys and values, a list of states, or a tuple of these; None if nothing."""

Caches = list[Any]

SHORTEST = 8
"""The fewest shared tokens that are worth a pass of their own."""

_ATTENTION = (KVCache, RotatingKVCache, ChunkedKVCache, ConcatenateKVCache)


class Masks:
    """The masks that the caches of one pass made, with the window of each; None if it has none."""

    def __init__(self) -> None:
        self.made: list[tuple[object, int | None]] = []


class AfterPrefix:
    """Attention's cache for rows after a prefix, if there is one. Each row also sees the prefix's keys and values."""

    keys: mx.array
    values: mx.array
    start_position = 0

    def __init__(self, prefix: KeysAndValues | None, offset: int | None = None, masks: Masks | None = None) -> None:
        self.before = prefix
        self.offset = offset if offset is not None else prefix[0].shape[2] if prefix else 0
        self.masks = masks or Masks()
        self.touched = False

    def make_mask(self, length: int, return_array: bool = False, window_size: int | None = None) -> Any:
        keys = self.offset + length
        hidden = window_size is not None and keys > window_size
        mask = create_causal_mask(length, self.offset, window_size=window_size) if hidden or return_array else "causal"
        # Four axes, because the CPU's attention by blocks knows these.
        mask = mask[None, None] if isinstance(mask, mx.array) and not return_array else mask
        if not any(mask is other for other, _ in self.masks.made):
            self.masks.made.append((mask, window_size if hidden else None))
        return mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """All keys and values (rows, heads, prefix + length, dim), which are also kept."""
        self.offset += keys.shape[2]
        if self.before is not None:
            rows = keys.shape[0]
            before = [mx.broadcast_to(x, (rows, *x.shape[1:])) for x in self.before]
            keys, values = mx.concatenate([before[0], keys], axis=2), mx.concatenate([before[1], values], axis=2)
        self.hold((keys, values))
        return keys, values

    def hold(self, contents: KeysAndValues) -> None:
        """Hold these keys and values."""
        self.keys, self.values = contents
        self.touched = True

    def keys_and_values(self) -> KeysAndValues:
        if not self.touched:
            raise ValueError("a layer reads what another layer's cache holds")
        return self.keys, self.values

    def maybe_trim_front(self) -> None:
        """Nothing is dropped."""

    def behind(self, before: KeysAndValues | None) -> AfterPrefix:
        """A new cache of the same kind behind `before`."""
        return AfterPrefix(before, self.offset, self.masks)


class ChosenQueries:
    """A second call of a layer for some positions only, over the keys and values of a first call.

    `offset` (rows,) is the first position of each row. The keys of the second call itself aren't needed.
    """

    start_position = 0

    def __init__(self, known: KeysAndValues, offset: mx.array) -> None:
        self._known = known
        self.offset = offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        return self._known


class States(ArraysCache):
    """A recurrent layer's states for rows after a prefix, if there is one."""

    def __init__(self, before: Sequence[mx.array | None], rows: int) -> None:
        super().__init__(len(before))
        self.before, self.touched, self._rows = list(before), False, rows
        self.cache = [None if x is None else mx.broadcast_to(x, (rows, *x.shape[1:])) for x in before]

    def __setitem__(self, index: int, value: mx.array) -> None:
        self.touched = True
        super().__setitem__(index, value)

    def hold(self, contents: Sequence[mx.array | None]) -> None:
        """Hold these states."""
        self.cache, self.touched = list(contents), True

    def behind(self, before: Sequence[mx.array | None]) -> States:
        """A new cache of the same kind behind `before`."""
        return States(before, self._rows)


class _Several(CacheList):
    """The caches of a layer that has several."""

    @property
    def touched(self) -> bool:
        return any(cache.touched for cache in self.caches)

    @property
    def before(self) -> Contents:
        return tuple(cache.before for cache in self.caches)

    def hold(self, contents: Sequence[Contents]) -> None:
        """Hold what each of the caches has to hold."""
        for cache, own in zip(self.caches, contents, strict=True):
            if own is not None:
                cache.hold(own)

    def behind(self, before: Sequence[Contents]) -> _Several:
        """New caches of the same kinds behind `before`."""
        return _Several(*(cache.behind(own) for cache, own in zip(self.caches, before, strict=True)))


def require_known(stock: Sequence[object]) -> None:
    """Raise ValueError if one of mlx-lm's caches is of a kind that can't be replaced."""
    for cache in stock:
        if isinstance(cache, CacheList):
            require_known(cache.caches)
        elif type(cache) not in (*_ATTENTION, ArraysCache):
            raise ValueError(f"its layers keep a {type(cache).__name__}")


def caches_after(stock: Sequence[object], before: Sequence[Contents] | None, offset: int, rows: int) -> Caches:
    """Our caches in the place of mlx-lm's `stock`, behind the contents of a prefix of `offset` tokens."""
    masks = Masks()
    known = before or [None] * len(stock)
    return [_after(cache, own, offset, rows, masks) for cache, own in zip(stock, known, strict=True)]


def _after(stock: Any, before: Contents, offset: int, rows: int, masks: Masks) -> Any:
    if isinstance(stock, CacheList):
        known = before or [None] * len(stock.caches)
        return _Several(
            *(_after(cache, own, offset, rows, masks) for cache, own in zip(stock.caches, known, strict=True))
        )
    if isinstance(stock, ArraysCache):
        return States(before or [None] * len(stock.cache), rows)
    return AfterPrefix(before, offset, masks)


def is_ours(value: object) -> bool:
    """Whether a value is one of our caches."""
    return isinstance(value, AfterPrefix | States | _Several)


def contents_of(cache: Any) -> Contents:
    """What one of our caches holds; None if nothing was put into it."""
    if isinstance(cache, _Several):
        return tuple(map(contents_of, cache.caches)) if cache.touched else None
    if not cache.touched:
        return None
    return list(cache.cache) if isinstance(cache, States) else cache.keys_and_values()


def masks_of(caches: Sequence[Any]) -> Masks:
    """The masks that the caches of a pass made."""
    for cache in caches:
        if isinstance(cache, _Several):
            return masks_of(cache.caches)
        if isinstance(cache, AfterPrefix):
            return cache.masks
    return Masks()


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
