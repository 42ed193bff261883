"""How the work of a function grows with its input: for laws about time that a busy machine doesn't break."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["growth"]

_TIMES = 8


def growth(work: Callable[[str], object], unit: str, count: int) -> float:
    """The power of the size with which `work` grows: 1 if it is linear, 2 if quadratic.

    Measured on `unit` repeated `count` and an eighth of `count` times, in this thread's processor time, which what else
    the machine does is no part of; the least of a few tries each.
    """
    few, many = (min(_seconds(work, unit * size) for _ in range(3)) for size in (count // _TIMES, count))
    return math.log(many / few, _TIMES)


def _seconds(work: Callable[[str], object], text: str) -> float:
    start = time.thread_time()
    work(text)
    return time.thread_time() - start
