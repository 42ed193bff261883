"""Which examples are held out, and which earlier ones are replayed. Both depend on content, never on position."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from topcoat.spec.example import LocatedExample

__all__ = ["balanced_sample", "hold_out", "without_copies"]

Examples = list[LocatedExample]


def hold_out(examples: Sequence[LocatedExample], share: float) -> tuple[Examples, Examples]:
    """Split into (train, valid): an example is held out if the hash of its dialogue falls into the first `share`.

    So an example never changes sides when others are added or removed. Of a few examples none may be held out; only
    if all would be, none is.
    """
    limit = share * 2**64
    held = [int(located.example.digest[:16], 16) < limit for located in examples]
    if all(held):
        return list(examples), []
    train = [located for located, out in zip(examples, held, strict=True) if not out]
    return train, [located for located, out in zip(examples, held, strict=True) if out]


def without_copies(examples: Sequence[LocatedExample], of: Sequence[LocatedExample]) -> Examples:
    """`examples` without those whose dialogue stands in `of` too, each kept once."""
    seen = {located.example.digest for located in of}
    kept = []
    for located in examples:
        if located.example.digest not in seen:
            seen.add(located.example.digest)
            kept.append(located)
    return kept


def balanced_sample(pool: Sequence[LocatedExample], count: int, seed: str) -> Examples:
    """Up to `count` different examples of `pool`, as evenly over its categories as they allow.

    Equal arguments give equal samples: the order within a category is that of a hash with `seed`.
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
