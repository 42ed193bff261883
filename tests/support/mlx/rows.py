"""Random rows of tokens."""

from __future__ import annotations

import numpy as np

from topcoat.engine.protocol import Row

__all__ = ["rows", "with_prefix"]


def rows(count: int, seed: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        length = int(rng.integers(8, 80))
        trained = np.zeros(length, np.bool_)
        trained[length // 2 :] = True
        made.append(Row(rng.integers(0, 1024, length).astype(np.int32), trained))
    return made


def with_prefix(length: int) -> list[Row]:
    """Rows that begin with the same tokens; two of them train an early and a late turn."""
    prefix = np.arange(7, 7 + length, dtype=np.int32)
    untrained = np.zeros(length, np.bool_)
    made = [
        Row(np.concatenate([prefix, row.tokens]), np.concatenate([untrained, row.trained]), row.weight)
        for row in rows(5)
    ]
    for row in made[:2]:
        row.trained[length + 2 : length + 4] = True
    return made
