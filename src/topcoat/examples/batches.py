"""Orders the rows of a training: every batch is known before it starts.

So resuming needs only the number of the iteration, and validating can't change the next batches.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

__all__ = ["Plan", "plan_batches"]

WINDOW = 16
"""The number of updates whose rows are sorted by length together: enough to pad little, few enough to stay shuffled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The batches. `batches[i]` are the row indices of iteration i + 1. `passes` is how often each new row is used."""

    batches: list[tuple[int, ...]]
    passes: float
    replayed: int


def plan_batches(
    lengths: Sequence[int],
    new: Sequence[int],
    replay: Sequence[Sequence[int]],
    *,
    share: float,
    size: int,
    accumulate: int,
    iters: int,
    seed: int,
) -> Plan:
    """Batches of `size` rows for `iters` iterations, `accumulate` of which make an update.

    An epoch has every row of `new` once, and as many of `replay` as make `share` of the epoch. Each group of `replay`
    gives equally many; its rows take turns, each time in a new order. `lengths` are tokens by row index. An update's
    rows are of similar length, and the same in one batch as in several smaller ones. Rows are sorted by length within
    an epoch only, so no row comes twice before every other has come once.
    """
    rng = random.Random(seed)
    wanted = round(len(new) * share / (1.0 - share)) if any(replay) else 0
    drawn = _drawn([group for group in replay if group], rng)
    seen_new = seen_replay = 0
    replayed = {row for group in replay for row in group}
    batches: list[tuple[int, ...]] = []
    rows = size * accumulate
    begun: list[int] = []  # the rows of an update that the next epoch completes
    while len(batches) < iters:
        queue = begun + rng.sample([*new, *islice(drawn, wanted)], len(new) + wanted)
        end = len(queue) - len(queue) % rows
        # An update that began in the epoch before keeps its place: sorted with others, its rows would change epochs.
        own = rows if begun else 0
        updates = [queue[:own]] if begun and end else []
        for start in range(own, end, rows * WINDOW):
            window = sorted(queue[start : min(end, start + rows * WINDOW)], key=lambda row: lengths[row])
            sorted_updates = [window[first : first + rows] for first in range(0, len(window), rows)]
            updates += rng.sample(sorted_updates, len(sorted_updates))
        batches += [tuple(update[first : first + size]) for update in updates for first in range(0, rows, size)]
        begun = queue[end:]
    batches = batches[:iters]
    for batch in batches:
        for row in batch:
            seen_replay += row in replayed
            seen_new += row not in replayed
    return Plan(batches, seen_new / max(1, len(new)), seen_replay)


def _drawn(groups: Sequence[Sequence[int]], rng: random.Random) -> Iterator[int]:
    """An endless sequence of rows: one of each group in turn. A group repeats after all of its rows were drawn."""
    decks: list[list[int]] = [[] for _ in groups]
    while groups:
        for index in rng.sample(range(len(groups)), len(groups)):
            decks[index] = decks[index] or rng.sample(groups[index], len(groups[index]))
            yield decks[index].pop()
