"""Chooses the validation set and the examples to replay. Both depend on content, never on position."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from topcoat.spec.example import LocatedExample

__all__ = ["balanced_sample", "hold_out", "without_copies"]

Examples = list[LocatedExample]


def hold_out(examples: Sequence[LocatedExample], share: float) -> tuple[Examples, Examples]:
    """Split into (train, valid). An example is in `valid` if the hash of its dialogue falls into the first `share`.

    So an example never changes sides when others are added or removed. With few examples, `valid` may be empty. It is
    also empty if it would contain all examples.
    """
    limit = share * 2**64
    held = [int(located.example.digest[:16], 16) < limit for located in examples]
    if all(held):
        return list(examples), []
    train = [located for located, out in zip(examples, held, strict=True) if not out]
    return train, [located for located, out in zip(examples, held, strict=True) if out]


def without_copies(examples: Sequence[LocatedExample], of: Sequence[LocatedExample]) -> Examples:
    """`examples` without repetitions, and without those whose dialogue is also in `of`."""
    seen = {located.example.digest for located in of}
    kept = []
    for located in examples:
        if located.example.digest not in seen:
            seen.add(located.example.digest)
            kept.append(located)
    return kept


def balanced_sample(pool: Sequence[LocatedExample], count: int, seed: str) -> Examples:
    """Up to `count` different examples of `pool`, spread over its categories as evenly as possible.

    Equal arguments give equal samples: a hash with `seed` orders each category.
    """
    queues: dict[str, Examples] = defaultdict(list)
    for located in sorted(pool, key=lambda located: _rank(located, seed)):
        queues[located.example.category or ""].append(located)
    names = sorted(queues)
    chosen: Examples = []
    turn = 0
    while len(chosen) < min(count, len(pool)):
        queue = queues[names[turn % len(names)]]
        if turn // len(names) < len(queue):
            chosen.append(queue[turn // len(names)])
        turn += 1
    return chosen


def _rank(located: LocatedExample, seed: str) -> bytes:
    return hashlib.sha256(f"{seed} {located.example.digest}".encode()).digest()
