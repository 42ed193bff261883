"""Reads references with mlx-lm's caches, as generation reads prompts: for every model that generates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx

from topcoat.engine.mlx.generate.generate import BATCH, KEPT, PREFILL, Prefix
from topcoat.engine.mlx.verify.rows import Place, Row, padded

__all__ = ["CacheReader"]

LOGITS = 1 << 24
"""The most logits of a model that exist at the same time."""


@dataclass(frozen=True, slots=True)
class CacheReader:
    """Reads prompts, then references by pieces of at most `width` tokens a row, with the model of each prefix."""

    prefixes: Sequence[Prefix]
    width: int = PREFILL

    def batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        order = sorted(rows, key=lambda row: (-len(row.read), -len(row.prompt)))
        start = 0
        while start < len(order):
            batch = order[start : start + min(_most(prefix, order[start:]) for prefix in self.prefixes)]
            yield sorted(batch, key=lambda row: -len(row.prompt))
            start += len(batch)

    def logits(self, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Place], Sequence[mx.array]]]:
        caches = [prefix.read([row.prompt[:-1] for row in rows]) for prefix in self.prefixes]
        tokens = padded([row.read for row in rows])
        start, width = 0, 1
        while start < tokens.shape[1]:
            piece = tokens[:, start : start + width]
            logits = [prefix.model(piece, cache=known) for prefix, known in zip(self.prefixes, caches, strict=True)]
            places = [(row, at) for row in range(len(rows)) for at in range(start, start + piece.shape[1])]
            places = [(row, at) for row, at in places if at < rows[row].reference.positions]
            vocabulary = logits[0].shape[-1]
            flat = mx.array([row * piece.shape[1] + at - start for row, at in places])
            yield [(rows[row], at) for row, at in places], [one.reshape(-1, vocabulary)[flat] for one in logits]
            mx.eval([cache.state for known in caches for cache in known])
            start += piece.shape[1]
            width = max(1, min(self.width, PREFILL // len(rows), LOGITS // (vocabulary * len(rows))))


def _most(prefix: Prefix, rows: Sequence[Row]) -> int:
    """The most of `rows`, from the first on, in a batch."""
    if prefix.way == "alone":
        return 1
    longest = max(len(row.tokens) for row in rows[:BATCH])
    return max(1, min(BATCH, KEPT // (longest - (prefix.length if prefix.way == "apart" else 0))))
