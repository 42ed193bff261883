from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from topcoat.cli.progress_bar import PlainSink
from topcoat.progress import Advanced, Event, Finished, Note, Started

CASES = Started("answers", 60, "case")


def lines(monkeypatch: pytest.MonkeyPatch, *events: tuple[float, Event]) -> list[str]:
    """What is printed if each event comes at its second."""
    sink = PlainSink(Console(file=io.StringIO(), width=200))
    for second, event in events:
        monkeypatch.setattr(time, "monotonic", lambda second=second: second)
        sink.emit(event)
    file = sink._console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_a_task_has_a_line_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [(100.0 + second, Advanced("answers", second)) for second in range(1, 11)]
    assert lines(monkeypatch, (100.0, CASES), *events, (110.0, Finished("answers", "all"))) == [
        "answers: 5/60 cases, 1.0/s, about 55 s left",
        "answers: 10/60 cases, 1.0/s, about 50 s left",
        "answers: done in 10.0 s, all",
    ]


def test_before_the_first_unit_nothing_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, (0.0, CASES), (6.0, Advanced("answers", 0, "12 tokens read"))) == [
        "answers: 0/60 cases, 0.0/s, 12 tokens read"
    ]


def test_what_an_earlier_run_did_is_not_in_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = Started("train", 100, "update", done=50)
    assert lines(monkeypatch, (0.0, resumed), (10.0, Advanced("train", 60))) == [
        "train: 60/100 updates, 1.0/s, about 40 s left"
    ]


def test_a_task_inside_of_another_has_figures_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = Started("episodes", 20, "case")
    assert lines(
        monkeypatch,
        (0.0, episodes),
        (10.0, CASES),
        (12.0, Advanced("answers", 60)),
        (12.0, Finished("answers")),
        (20.0, Advanced("episodes", 10)),
        (30.0, Finished("episodes")),
    ) == ["answers: done in 2.0 s", "episodes: 10/20 cases, 0.5/s, about 20 s left", "episodes: done in 30.0 s"]


def test_notes_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, (0.0, Note("one [bold]")), (0.0, Note("two", warning=True))) == [
        "one [bold]",
        "warning: two",
    ]
