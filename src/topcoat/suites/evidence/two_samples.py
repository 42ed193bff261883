"""Whether one of two groups goes wrong more often than the other. Pure arithmetic.

The groups answer different sessions, so nothing is paired. Which session is in which group was decided without looking
at it. So if both groups go wrong equally often, every way to spread the sessions that went wrong is equally likely, and
the number in one group is hypergeometric: Fisher (1935), The logic of inductive inference, Journal of the Royal
Statistical Society 98, 39-82. The test is exact for every number of sessions, and its p is never too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from topcoat.suites.evidence.looks import Look
from topcoat.suites.evidence.statistics import POWER, Array

__all__ = ["Group", "decisive_look", "p_more", "power"]

_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Group:
    """`wrong` of `n` sessions went wrong."""

    wrong: int
    n: int


def p_more(one: Group, other: Group) -> float:
    """One-sided p of the hypothesis that `one` goes wrong no more often than `other`."""
    total, wrong = one.n + other.n, one.wrong + other.wrong
    counts = np.arange(one.wrong, min(one.n, wrong) + 1)
    logs = _choose(one.n, counts) + _choose(other.n, wrong - counts) - _choose(total, np.array([wrong]))
    return min(1.0, float(np.exp(logs).sum()))


def power(one: float, other: float, n: int, other_n: int, level: float) -> float:
    """The chance that `n` sessions which go wrong with the chance `one` have p of at most `level`.

    They are compared with `other_n` sessions that go wrong with the chance `other`. Computed over every outcome.
    """
    mine, others = np.arange(n + 1)[:, None], np.arange(other_n + 1)[None, :]
    wrong = mine + others
    logs = _choose(n, mine) + _choose(other_n, others) - _choose(n + other_n, wrong)
    # The chance of an outcome, given how many went wrong in all; summed over the outcomes with more of them in `one`.
    given = np.zeros((n + 1, n + other_n + 1))
    given[np.broadcast_to(mine, wrong.shape), wrong] = np.exp(logs)
    tails = np.cumsum(given[::-1], axis=0)[::-1]
    rejected = tails[np.broadcast_to(mine, wrong.shape), wrong] <= level
    chances = _binomial(n, one)[:, None] * _binomial(other_n, other)[None, :]
    return float(chances[rejected].sum())


def decisive_look(one: float, other: float, share: float, looks: Sequence[Look]) -> Look | None:
    """The first look that shows, in four cases of five, that a group goes wrong more often; None if none does.

    The group has `share` (0..1) of all sessions and goes wrong with the chance `one`, the rest with `other`. Earlier
    looks aren't counted in, so together with them the look shows it more often than said.
    """
    for look in looks:
        others = max(1, round(look.cases * (1 - share) / share))
        if power(one, other, look.cases, others, look.level) >= POWER:
            return look
    return None


def _binomial(n: int, chance: float) -> Array:
    counts = np.arange(n + 1)
    logs = _choose(n, counts) + counts * np.log(max(chance, _TINY)) + (n - counts) * np.log(max(1 - chance, _TINY))
    chances: Array = np.exp(logs)
    return chances


def _choose(n: int, k: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Array:
    """The logarithms of the numbers of ways to choose `k` of `n`."""
    logs = _log_factorials(1 << max(10, n.bit_length()))
    found: Array = logs[n] - logs[k] - logs[n - k]
    return found


@lru_cache(maxsize=8)
def _log_factorials(size: int) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
