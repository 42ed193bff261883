"""Products beside other work: threads of a BLAS that wait for a busy core cost many times what they gain.

The threads of one product wait for each other by spinning. Where other work takes the core of one, all wait, and their
spinning takes time from that work. Answers are drawn with fewer threads then. A training and a fuse keep their number,
because it may decide how a product is rounded, and they have to end with the same bytes however busy a machine is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from topcoat.engine.mlx.cpu.blas import THREADS_VARIABLE, set_threads, threads
from topcoat.engine.mlx.cpu.cores import OtherWork, usable_cores
from topcoat.engine.mlx.cpu.quicken import on_cpu
from topcoat.progress import Note, Sink

__all__ = ["Sharing", "fitting_threads", "sharing", "warn_if_busy"]

SPARE = 0.25
"""The part of a core that other work may take before a thread is given up: every machine does something."""

_others = OtherWork()
"""Of this process, as the BLAS is. Its first window begins when the engine is opened."""


def fitting_threads(most: int, cores: int, busy: float) -> int:
    """The threads, at least 1 and at most `most`, for which `cores` have room where other work keeps `busy` of them."""
    return max(1, min(most, int(cores - busy + SPARE)))


@dataclass(slots=True)
class Sharing:
    """Chooses the number of threads while answers are drawn. `most` is the model's, `now` the present one."""

    sink: Sink
    most: int
    now: int
    said: bool = False

    def look(self) -> None:
        """Use fewer threads or more, as the other work since the last look asks for. The first time is said."""
        if self.most == 1 or (busy := _others.busy_cores()) is None:
            return
        cores = usable_cores()
        self._use(fitting_threads(self.most, cores, busy))
        if self.now < self.most and not self.said:
            self.said = True
            before = f"other work keeps {min(busy, cores):.1f} of {cores} cores busy"
            self.sink.emit(Note(f"{before}: answers are drawn on {self.now} of {self.most} threads meanwhile"))

    def _use(self, count: int) -> None:
        if count != self.now:
            self.now = count
            set_threads(count)


@contextmanager
def sharing(sink: Sink) -> Iterator[Sharing]:
    """During the `with` block, `look` may choose fewer threads. Afterwards there are as many as before.

    A number that the user chose stays.
    """
    count = _adjustable()
    share = Sharing(sink, count, count)
    share.look()
    try:
        yield share
    finally:
        if share.now != count:
            set_threads(count)


def warn_if_busy(sink: Sink) -> None:
    """Say that other work will slow down products whose number of threads stays, and what helps."""
    count = _adjustable()
    if count == 1 or (busy := _others.busy_cores()) is None:
        return
    cores = usable_cores()
    if fitting_threads(count, cores, busy) < count:
        said = (
            f"other work keeps {min(busy, cores):.1f} of {cores} cores busy, and training's {count} threads wait for "
            "each other, which can take many times as long. Their number stays, because it may decide how a product is "
            f"rounded. hint: export {THREADS_VARIABLE}=1"
        )
        sink.emit(Note(said, warning=True))


def _adjustable() -> int:
    """The number of threads, or 1 where there is nothing to choose: on a GPU, and where the user has chosen."""
    return threads() if on_cpu() and not os.environ.get(THREADS_VARIABLE) else 1
