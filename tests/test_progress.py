from __future__ import annotations

import time

import pytest

from topcoat.progress import Finished, Note, Started, Stopwatch


def test_a_stopwatch_adds_up_the_tasks_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 3.0, 10.0, 15.0, 20.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    watch = Stopwatch()
    for event in (
        Started("trunk"),
        Finished("trunk"),
        Started("trunk"),
        Note("x"),
        Finished("trunk"),
        Started("train"),
    ):
        watch.emit(event)
    assert watch.seconds == {"trunk": 7.0}
