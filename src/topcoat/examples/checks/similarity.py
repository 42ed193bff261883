"""Finds nearly equal texts, among hundreds of thousands in seconds.

Two texts are near twins if they share at least `NEAR` of their three-word sequences (Jaccard: shared over all). Two
such texts share one of their rarest sequences: of n sequences, one of the floor((1 - NEAR) * n) + 1 rarest (S.
Chaudhuri, V. Ganti and R. Kaushik, A Primitive Operator for Similarity Joins in Data Cleaning, 2006; the prefix
filter). An index of those sequences gives pairs, which are then compared exactly, so every twin is real.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEAR", "Twin", "WordSets", "near_twins", "words"]

NEAR = 0.8
_LENGTH = 3
_LISTED = 20
"""The most texts listed under a sequence: the first and the last ones. More of them are all alike."""
_COMPARED = 10
_ONCE = 1 << 40
_TWICE = 2 * _ONCE
"""A sequence that occurs once in all texts has a number below this. The index leaves it out."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Twin:
    """Text `index` nearly equals the earlier text `of`. `similarity` is in `NEAR`..1."""

    index: int
    of: int
    similarity: float


def words(text: str) -> list[str]:
    """The words of a text in lower case: letters, digits and underscores."""
    return _WORD.findall(text.lower())


def near_twins(texts: Sequence[str], *, pool: int | None = None) -> list[Twin]:
    """The nearest earlier twin of each text that has one, in order.

    With `pool`, only texts from index `pool` on are looked at, and their twins come from the texts before it. Time and
    memory grow linearly, even if thousands of texts are alike: a text is compared with a few of them.
    """
    texts_with: dict[int, list[int]] = defaultdict(list)
    sequences = _sequences(texts)
    twins: list[Twin] = []
    for index, own in enumerate(sequences):
        distinct = sorted(set(own.tolist()))
        rarest = distinct[: int((1 - NEAR) * len(distinct) + 1e-9) + 1]
        shareable = [sequence for sequence in rarest if sequence >= _TWICE]
        if pool is None or index >= pool:
            shared = Counter(
                earlier for sequence in shareable if sequence in texts_with for earlier in texts_with[sequence]
            )
            compared = [Twin(index, of, _similarity(sequences[of], own)) for of, _ in shared.most_common(_COMPARED)]
            nearest = max(compared, key=lambda twin: twin.similarity, default=None)
            if nearest and nearest.similarity >= NEAR:
                twins.append(nearest)
        if pool is None or index < pool:
            for sequence in shareable:
                listed = texts_with[sequence]
                listed.append(index)
                if len(listed) > _LISTED:
                    del listed[1]
    return twins


class WordSets:
    """The sets of words of many texts, for comparison with a few others."""

    def __init__(self, texts: Iterable[str]) -> None:
        ids: dict[str, int] = {}
        flat: list[int] = []
        sizes: list[int] = []
        for text in texts:
            distinct = set(words(text))
            flat += [ids.setdefault(word, len(ids)) for word in distinct]
            sizes.append(len(distinct))
        self._ids = ids
        self._flat = np.array(flat, np.int64)
        self._sizes = np.array(sizes, np.int64)
        self._owners = np.repeat(np.arange(len(sizes)), self._sizes)

    def similarity(self, text: str) -> NDArray[np.float64]:
        """Jaccard of the words of `text` with those of every text: float64 of shape (texts,)."""
        asked = set(words(text))
        known = np.zeros(len(self._ids), np.bool_)
        known[[self._ids[word] for word in asked if word in self._ids]] = True
        shared = np.bincount(self._owners[known[self._flat]], minlength=len(self._sizes)).astype(np.float64)
        either: NDArray[np.float64] = self._sizes + len(asked) - shared
        return shared / np.maximum(either, 1.0)


def _sequences(texts: Sequence[str]) -> list[NDArray[np.uint64]]:
    """The sequences of `_LENGTH` words of each text as numbers. A more frequent sequence has a larger number.

    A shorter text is padded, so that every text has at least one sequence.
    """
    ids: dict[str, int] = defaultdict(count(1).__next__)
    parts = [np.zeros(_LENGTH, np.uint64)]
    for text in texts:
        numbered = [ids[word] for word in words(text)]
        parts.append(np.array(numbered + [0] * (_LENGTH - len(numbered)), np.uint64))
    ends = np.cumsum([len(part) for part in parts])
    flat = np.concatenate(parts)
    factors = np.random.default_rng(0).integers(1, 2**63, _LENGTH, dtype=np.uint64)
    hashes = sum(flat[i : len(flat) - _LENGTH + 1 + i] * factor for i, factor in enumerate(factors))
    buckets = hashes >> np.uint64(40)
    keys = np.bincount(buckets.astype(np.int64))[buckets].astype(np.uint64) * np.uint64(_ONCE) + (
        hashes >> np.uint64(24)
    )
    return [keys[begin : end - _LENGTH + 1] for begin, end in pairwise(ends)]


def _similarity(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    sequences, others = set(one.tolist()), set(other.tolist())
    return len(sequences & others) / len(sequences | others)
