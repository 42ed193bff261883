from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.mlx.kinds import PROMPTS
from tests.support.mlx.models import MakeModel
from tests.support.recorder import Recorder
from topcoat.engine.mlx.cpu import sharing as module
from topcoat.engine.mlx.cpu.blas import THREADS_VARIABLE
from topcoat.engine.mlx.cpu.sharing import fitting_threads, sharing, warn_if_busy
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Note, Silent

Busy = Callable[..., list[int]]


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    """Makes a machine of four cores, on which other work keeps so many busy at each look. Gives the threads set."""

    def made(*cores: float | None, threads: int = 4, on_cpu: bool = True) -> list[int]:
        looks, chosen = iter(cores), [threads]
        monkeypatch.delenv(THREADS_VARIABLE, raising=False)
        monkeypatch.setattr(module._others, "busy_cores", lambda: next(looks, cores[-1]))
        monkeypatch.setattr(module, "usable_cores", lambda: 4)
        monkeypatch.setattr(module, "on_cpu", lambda: on_cpu)
        monkeypatch.setattr(module, "threads", lambda: chosen[-1])
        monkeypatch.setattr(module, "set_threads", chosen.append)
        return chosen

    return made


def notes(sink: Recorder) -> list[str]:
    return [event.text for event in sink.events if isinstance(event, Note)]


@pytest.mark.parametrize(
    ("most", "cores", "others", "threads"),
    [
        (2, 2, 0.0, 2),
        (2, 2, 0.2, 2),
        (2, 2, 0.3, 1),
        (2, 2, 2.0, 1),
        (16, 16, 1.0, 15),
        (16, 16, 15.9, 1),
        (4, 16, 11.0, 4),
        (1, 16, 0.0, 1),
        (2, 2, 3.0, 1),
    ],
)
def test_threads_fit_into_the_cores_that_are_free(most: int, cores: int, others: float, threads: int) -> None:
    assert fitting_threads(most, cores, others) == threads


def test_threads_follow_the_other_work_and_are_as_before_in_the_end(busy: Busy) -> None:
    chosen, sink = busy(2.9, 2.9, 0.0, None, 1.1), Recorder()
    with sharing(sink) as share:
        assert chosen == [4, 1]
        for _ in range(4):
            share.look()
        assert chosen == [4, 1, 4, 3]
    assert chosen == [4, 1, 4, 3, 4]
    assert notes(sink) == [
        "other work keeps 2.9 of 4 cores busy: answers are drawn on 1 of 4 threads meanwhile"
    ]  # once


def test_on_an_idle_machine_nothing_is_set_or_said(busy: Busy) -> None:
    chosen, sink = busy(0.0), Recorder()
    with sharing(sink) as share:
        share.look()
    warn_if_busy(sink)
    assert (chosen, sink.events) == ([4], [])


def test_threads_are_as_before_after_an_error(busy: Busy) -> None:
    chosen = busy(4.0)
    with pytest.raises(KeyError), sharing(Silent()):
        raise KeyError
    assert chosen == [4, 1, 4]


@pytest.mark.parametrize("why", ["the user's number", "one thread", "a GPU"])
def test_where_there_is_nothing_to_choose_nothing_is_set_or_said(
    busy: Busy, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    threads = 1 if why == "one thread" else 4
    chosen, sink = busy(4.0, threads=threads, on_cpu=why != "a GPU"), Recorder()
    if why == "the user's number":
        monkeypatch.setenv(THREADS_VARIABLE, "4")
    with sharing(sink) as share:
        share.look()
    warn_if_busy(sink)
    assert (chosen, sink.events) == ([threads], [])


def test_a_training_keeps_its_threads_and_says_what_helps(busy: Busy) -> None:
    chosen, sink = busy(2.5), Recorder()
    warn_if_busy(sink)
    assert chosen == [4]
    (note,) = notes(sink)
    assert note.startswith("other work keeps 2.5 of 4 cores busy, and training's 4 threads wait")
    assert note.endswith("hint: export OPENBLAS_NUM_THREADS=1")


def test_answers_are_drawn_on_fewer_threads_beside_other_work(
    engine: MlxEngine, make_model: MakeModel, busy: Busy
) -> None:
    job = GenerateJob(make_model(), PROMPTS[:3], [20] * 3)
    busy(0.0)
    expected = engine.generate(job, Silent())
    chosen, sink = busy(0.0, 4.0), Recorder()  # busy from the second look on
    assert engine.generate(job, sink) == expected
    assert chosen == [4, 1, 4]
    assert len(notes(sink)) == 1
