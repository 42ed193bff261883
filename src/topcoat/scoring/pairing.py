"""Pairs what is wanted with what was made, as many as possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

__all__ = ["largest_pairing"]


def largest_pairing(wanted: int, made: Sequence[int], fits: Callable[[int, int], bool]) -> dict[int, int]:
    """Which of 0..wanted-1 takes which of `made`: each at most once, as many as possible (augmenting paths).

    The first ones of those wanted come first: one that is paired stays so. `fits` says who may take what.
    """
    taken_by: dict[int, int] = {}
    takes: dict[int, int] = {}
    for want in range(wanted):
        path = _path_to_a_free_one(want, made, fits, taken_by)
        for taker, item in path:
            taken_by[item], takes[taker] = taker, item
    return takes


def _path_to_a_free_one(
    want: int, made: Sequence[int], fits: Callable[[int, int], bool], taken_by: dict[int, int]
) -> list[tuple[int, int]]:
    """Who has to take what so that `want` gets one; [] if it can't. The shortest such exchange."""
    came_from: dict[int, int] = {}
    waiting = deque([want])
    while waiting:
        taker = waiting.popleft()
        for item in made:
            if item in came_from or not fits(taker, item):
                continue
            came_from[item] = taker
            if item not in taken_by:
                return _exchange(item, want, came_from, taken_by)
            waiting.append(taken_by[item])
    return []


def _exchange(item: int, want: int, came_from: dict[int, int], taken_by: dict[int, int]) -> list[tuple[int, int]]:
    """The path back from a free `item` to `want`. Whoever takes an item gives up the one that it had."""
    had = {taker: taken for taken, taker in taken_by.items()}
    path = []
    while True:
        taker = came_from[item]
        path.append((taker, item))
        if taker == want:
            return path
        item = had[taker]
