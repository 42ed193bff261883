"""How the work of a function grows with its input: for laws about time that a busy machine doesn't break.

Time is this thread's processor time, which what else the machine does is no part of. A shape is a text of any length:
a beginning, a piece that is repeated, an end. hypothesis finds the pieces that a test doesn't name.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

__all__ = ["MOST_TIMES", "Shape", "growth", "shapes", "times"]

MOST_TIMES: Final = 15
"""The most times the work may be of ten times the input: linear work takes ten times, n log n some twelve."""

_TIMES = 8
_SHORTEST, _SMALLEST, _TRIES = 400, 1e-3, 12


@dataclass(frozen=True, slots=True)
class Shape:
    """Texts of any length that are `piece` again and again, between `begin` and `end`."""

    piece: str
    begin: str = ""
    end: str = ""

    def text(self, length: int) -> str:
        """The text with some `length` characters of pieces."""
        return self.begin + self.piece * max(1, length // len(self.piece)) + self.end


def shapes(
    tokens: Sequence[str], begins: Sequence[str] = ("",), ends: Sequence[str] = ("",)
) -> st.SearchStrategy[Shape]:
    """Shapes whose piece is one to five of a format's tokens, also some that repeat a token within the piece."""
    few = st.lists(st.sampled_from(list(tokens)), min_size=1, max_size=5)
    piece = few.map("".join) | st.tuples(few, st.sampled_from(list(tokens)), st.integers(2, 40)).map(
        lambda parts: "".join(parts[0]) + parts[1] * parts[2]
    )
    return st.builds(Shape, piece.filter(bool), st.sampled_from(list(begins)), st.sampled_from(list(ends)))


def times(work: Callable[[str], object], shape: Shape, most: int = 200_000) -> float:
    """How many times the work on ten times the text is of that on the text.

    The text is made long enough to be measured, while ten times it has no more than `most` characters. Where
    it is over `MOST_TIMES`, it is measured a few times more, also with longer texts, and the least counts: other
    programs share the caches, and what a text makes may just outgrow them.
    """
    length = _SHORTEST
    while _seconds(work, shape.text(length)) < _SMALLEST and length * 20 <= most:
        length *= 2
    least = math.inf
    for tried in range(_TRIES):
        length = length * 2 if tried and length * 20 <= most else length
        few = statistics.median(_seconds(work, shape.text(length)) for _ in range(3))
        many = min(_seconds(work, shape.text(length * 10)) for _ in range(2))
        least = min(least, many / few)
        if least <= MOST_TIMES:
            break
    return least


def growth(work: Callable[[str], object], unit: str, count: int) -> float:
    """The power of the size with which `work` grows: 1 if it is linear, 2 if quadratic.

    Measured on `unit` repeated `count` and an eighth of `count` times; the least of a few tries each.
    """
    few, many = (min(_seconds(work, unit * size) for _ in range(3)) for size in (count // _TIMES, count))
    return math.log(many / few, _TIMES)


def _seconds(work: Callable[[str], object], text: str) -> float:
    enabled = gc.isenabled()
    gc.disable()  # a collection costs what the whole process holds, which is no part of the work
    try:
        start = time.thread_time()
        work(text)
        return time.thread_time() - start
    finally:
        if enabled:
            gc.enable()
