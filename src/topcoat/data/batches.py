"""The order in which rows are trained: every batch of a run, known before it starts.

So resuming needs only the number of the iteration, and validating can't change what comes next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Plan", "plan_batches"]

WINDOW = 16
"""Batches whose rows are sorted by length together: wide enough to pad little, narrow enough to stay shuffled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`batches[i]` are the row indices of iteration i + 1; `passes` is how often a new (not replayed) row is seen."""

    batches: list[tuple[int, ...]]
    passes: float
    replayed: int


def plan_batches(
    lengths: Sequence[int], new: Sequence[int], replay: Sequence[int], *, share: float, size: int, iters: int, seed: int
) -> Plan:
    """Batches of `size` rows for `iters` iterations.

    An epoch holds every row of `new` once and as many of `replay` as make `share` of the epoch; those come round
    in turn, each time in a new order. `lengths` are tokens by row index; rows of a batch are of similar length.
    """
    rng = random.Random(seed)
    wanted = round(len(new) * share / (1.0 - share)) if replay else 0
    queue: list[int] = []
    drawn: list[int] = []
    seen_new = seen_replay = 0
    replayed = set(replay)
    batches: list[tuple[int, ...]] = []
    while len(batches) < iters:
        while len(queue) < size * WINDOW:
            extra: list[int] = []
            while len(extra) < wanted:
                if not drawn:
                    drawn = rng.sample(list(replay), len(replay))
                extra.append(drawn.pop())
            queue += rng.sample([*new, *extra], len(new) + wanted)
        window, queue = queue[: size * WINDOW], queue[size * WINDOW :]
        window.sort(key=lambda row: lengths[row])
        made = [tuple(window[start : start + size]) for start in range(0, len(window), size)]
        rng.shuffle(made)
        batches += made
    batches = batches[:iters]
    for batch in batches:
        for row in batch:
            seen_replay += row in replayed
            seen_new += row not in replayed
    return Plan(batches, seen_new / max(1, len(new)), seen_replay)
