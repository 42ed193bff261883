"""Phases await their canaries while agents ask: real servers and sockets, with models that do as they are told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.fake_project import opened
from tests.support.usage.awaited import PHASE, let_await, standing
from tests.support.usage.candidates import small_project
from tests.support.usage.scripted_server import processes
from tests.support.usage.serving import is_alive
from tests.support.usage.swaps import Stage, add_scripted, make_scripted, promote, rollback, stage
from topcoat.project.production import discard
from topcoat.project.production import promote as promote_by_hand
from topcoat.spec.canonical import canonical_json
from topcoat.store.files import append_line
from topcoat.store.lineage import Lineage
from topcoat.store.paths import ProjectPaths
from topcoat.usage.capture.candidate import awaiting as awaiting_module
from topcoat.usage.capture.candidate.looks import read_looks
from topcoat.usage.capture.candidate.records import CanaryLook
from topcoat.usage.capture.served import swapping as swapping_module

BASE = "old"


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping_module, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(awaiting_module, "_LOOK_SECONDS", 0.05)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose production model is `old`."""
    folder = small_project(tmp_path / "project")
    add_scripted(folder, BASE)
    promote(folder, BASE)
    return folder


def scripted(**script: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        make_scripted(path, **script)

    return make


async def begin(made: Stage, first: int, sessions: int, *, until: Callable[[], object] = bool) -> list[str]:
    """New sessions, one after the other, until `until` is so. Gives the models that answer them."""
    models = []
    for number in range(first, first + sessions):
        if until():
            break
        models.append((await made.ask(session=f"s{number}"))[1]["X-Topcoat-Model"])
        await asyncio.sleep(0.01)  # its exchange is read
    return models


def said(made: Stage, words: str) -> bool:
    return any(words in line for line in made.said())


def looks(project: Path) -> list[CanaryLook]:
    return read_looks(ProjectPaths(project).canary, PHASE, "candidate")


def alive(path: Path) -> bool:
    return any(map(is_alive, processes(path)))


def play(project: Path, scene: Callable[[Stage], object], *, swap: swapping_module.Swap = "beside") -> None:
    async def playing() -> None:
        async with stage(project, swap, canaries=True) as made:
            await scene(made)  # type: ignore[misc]

    asyncio.run(playing())


def test_a_candidate_that_goes_wrong_less_often_is_promoted_and_takes_over(project: Path) -> None:
    (ProjectPaths(project).models / BASE / "script.json").write_text('{"finish": "length"}')
    with opened(project) as session:  # the changed script makes it another model
        path = session.paths.models / "cut"
        make_scripted(path, finish="length")
        digest = session.engine.describe(path).digest
        session.lineage.add_model("cut", digest=digest, path=path, parent="root")
        session.lineage.promote("cut", "for the test")
    path = let_await(project, scripted())

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers 50% of the new sessions"))
        models = await begin(made, 0, 200, until=lambda: said(made, "is promoted"))
        assert {"cut", "candidate"} == set(models)
        await made.until(lambda: made.door.model == "candidate")
        assert (await made.ask(session="after"))[1]["X-Topcoat-Model"] == "candidate"
        await made.until(lambda: not alive(ProjectPaths(project).models / "cut"))

    play(project, scene)
    assert standing(project) == ("promoted", "candidate")
    assert len(processes(path)) == 1, "it isn't loaded a second time"
    assert not alive(path)
    assert (looks(project)[-1].decision, looks(project)[-1].phase) == ("better", PHASE)
    with Lineage(ProjectPaths(project)) as lineage:
        reason = lineage.production_history()[-1].reason
    assert reason.startswith(f"{PHASE} passed its gate, and its canary went well: 0 of ")
    report = ProjectPaths(project).report(PHASE).read_text()
    assert "PROMOTED" in report
    assert "its canary went well" in report


def test_a_worse_candidate_is_discarded_with_the_figures(project: Path) -> None:
    path = let_await(project, scripted(finish="length"))

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        await begin(made, 0, 200, until=lambda: said(made, "is discarded"))
        assert (await made.ask(session="s0"))[1]["X-Topcoat-Model"] == BASE
        await made.until(lambda: not alive(path))

    play(project, scene)
    assert standing(project) == ("discarded", BASE)
    with Lineage(ProjectPaths(project)) as lineage:
        (phase,) = lineage.phases()
        outcome = lineage.outcome(phase.id)
        assert outcome is not None
        assert outcome.detail.startswith("its canary was worse: 10 of 10 sessions of candidate went wrong (cut answer")
    assert "Its canary was worse" in ProjectPaths(project).report(PHASE).read_text()
    with opened(project) as session, pytest.raises(Exception, match="its canary was worse"):
        promote_by_hand(session, "candidate")


@pytest.mark.parametrize(("undecided", "expected"), [("promote", "promoted"), ("discard", "discarded")])
def test_the_phase_says_what_becomes_of_a_candidate_that_shows_nothing(
    project: Path, undecided: str, expected: str
) -> None:
    let_await(project, scripted(), undecided=undecided)  # type: ignore[arg-type]

    async def scene(made: Stage) -> None:
        await begin(made, 0, 200, until=lambda: said(made, f"is {expected}"))

    play(project, scene)
    assert standing(project) == (expected, "candidate" if expected == "promoted" else BASE)
    assert looks(project)[-1].decision == "undecided"


def test_a_trial_goes_on_after_a_restart_with_what_it_had_counted(project: Path) -> None:
    let_await(project, scripted(), sessions=20)

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        models = await begin(made, 0, 200, until=lambda: len(looks(project)) == 1)
        assert models.count("candidate") >= 10

    play(project, scene)
    first, ended = looks(project)
    assert (first.decision, first.look, ended.decision, ended.look) == ("goes on", 1, "ended", 0)
    assert standing(project) == ("awaiting", BASE)

    async def again(made: Stage) -> None:
        had = f"it had {ended.candidate.sessions} before"
        await made.until(lambda: said(made, had))
        models = await begin(made, 1000, 200, until=lambda: said(made, "is promoted"))
        assert models.count("candidate") <= 20 - ended.candidate.sessions + 1

    play(project, again)
    last = looks(project)[-1]
    assert (last.decision, last.look, last.candidate.sessions) == ("undecided", 2, 20)
    assert standing(project) == ("promoted", "candidate")


def test_a_decision_that_a_killed_server_left_is_carried_out_without_another_trial(project: Path) -> None:
    path = let_await(project, scripted(), undecided="discard")

    async def scene(made: Stage) -> None:
        await begin(made, 0, 200, until=lambda: said(made, "is discarded"))

    play(project, scene)
    last = looks(project)[-1]
    mine = last.candidate.model_copy(update={"model": "later"})
    left = last.model_copy(update={"phase": "phase36", "candidate": mine})
    later = let_await(project, scripted(), name="later", phase="phase36")
    append_line(ProjectPaths(project).canary, canonical_json(left.model_dump(mode="json")))

    async def again(made: Stage) -> None:
        await made.until(lambda: said(made, "later is promoted"))
        await made.until(lambda: made.door.model == "later")

    play(project, again)
    assert standing(project, "phase36")[0] == "promoted"
    assert len(processes(path)) == 1
    assert len(processes(later)) == 1, "by the swap alone"


def test_a_decision_waits_for_the_command_that_holds_the_project(project: Path) -> None:
    let_await(project, scripted())

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        with opened(project):
            await begin(made, 0, 200, until=lambda: said(made, "when the project is free"))
            assert standing(project)[0] == "awaiting"
        await made.until(lambda: made.door.model == "candidate")

    play(project, scene)
    assert standing(project) == ("promoted", "candidate")


@pytest.mark.parametrize("how", ["promoted", "discarded"])
def test_a_person_may_decide_while_a_decision_waits(project: Path, how: str) -> None:
    let_await(project, scripted(finish="length"))

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        with opened(project) as session:
            await begin(made, 0, 200, until=lambda: said(made, "when the project is free"))
            if how == "promoted":
                promote_by_hand(session, "candidate")
            else:
                discard(session, "candidate")
        await made.until(lambda: said(made, f"candidate was {how} by hand"))
        assert not said(made, "goes on awaiting")
        assert not said(made, "candidate is discarded: ")

    play(project, scene)
    assert standing(project)[0] == how


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("given up for a restart, while it awaited its canary", "candidate was given up for a restart"),
        ("its canary was worse: 9 of 10", "candidate was discarded meanwhile: topcoat log says why"),
    ],
)
def test_what_no_person_decided_isnt_said_to_be_by_hand(project: Path, reason: str, words: str) -> None:
    """A restart of the phase gives its model up, and another `topcoat serve` of the project may decide."""
    let_await(project, scripted())

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        with opened(project) as session:
            ((phase, _),) = session.lineage.awaiting()
            session.lineage.end_canary(phase.id, "discarded", reason)
        await made.until(lambda: said(made, words))
        assert not said(made, "by hand")

    play(project, scene)


def test_a_decision_stands_though_its_report_cant_be_written(project: Path) -> None:
    let_await(project, scripted(finish="length"))
    report = ProjectPaths(project).report(PHASE)
    report.mkdir(parents=True)

    async def scene(made: Stage) -> None:
        await begin(made, 0, 200, until=lambda: said(made, "candidate is discarded: its canary was worse"))
        assert said(made, f"the report of {PHASE} isn't written: ")
        assert not said(made, "goes on awaiting")

    play(project, scene)
    assert standing(project) == ("discarded", BASE)


def test_one_serve_of_a_project_tries_a_candidate_and_the_next_takes_over(project: Path) -> None:
    path = let_await(project, scripted())

    async def scene() -> None:
        async with AsyncExitStack() as others, AsyncExitStack() as one:
            first = await one.enter_async_context(stage(project, "beside", canaries=True))
            await first.until(lambda: said(first, "candidate answers"))
            second = await others.enter_async_context(stage(project, "beside", canaries=True))
            await second.until(lambda: said(second, "candidate isn't tried here: another topcoat is running"))
            assert not said(second, "candidate answers")
            assert len(processes(path)) == 1
            await one.aclose()
            await second.until(lambda: said(second, "candidate answers"))

    asyncio.run(scene())


def test_another_production_model_ends_the_trial_and_the_candidate_goes_on_waiting(project: Path) -> None:
    path = let_await(project, scripted())
    add_scripted(project, "other")

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        await begin(made, 0, 4)
        promote(project, "other")
        await made.until(lambda: said(made, f"candidate grew from {BASE}, and production is other"))
        await made.until(lambda: not alive(path))
        rollback(project)
        await made.until(lambda: len(processes(path)) == 2)

    play(project, scene)
    assert standing(project) == ("awaiting", BASE)
    assert {line.decision for line in looks(project)} == {"ended"}


@pytest.mark.parametrize("how", ["promoted", "discarded"])
def test_a_person_may_decide_meanwhile(project: Path, how: str) -> None:
    path = let_await(project, scripted())

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        with opened(project) as session:
            if how == "promoted":
                promote_by_hand(session, "candidate")
            else:
                discard(session, "candidate")
        await made.until(lambda: said(made, f"candidate was {how} by hand"))
        if how == "promoted":
            await made.until(lambda: made.door.model == "candidate")
        else:
            await made.until(lambda: not alive(path))

    play(project, scene)
    assert standing(project) == (how, "candidate" if how == "promoted" else BASE)
    assert len(processes(path)) == 1


@pytest.mark.parametrize(
    ("script", "swap", "words"),
    [
        ({"dies": True}, "beside", "candidate goes on awaiting its canary: the model server ended with exit code 3"),
        ({}, "auto", "candidate goes on awaiting its canary: candidate isn't loaded beside old"),
    ],
)
def test_a_candidate_that_cannot_be_tried_is_said_once(
    project: Path, script: dict[str, object], swap: swapping_module.Swap, words: str
) -> None:
    path = let_await(project, scripted(**script))

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, words))
        await asyncio.sleep(0.3)
        assert sum(words in line for line in made.said()) == 1
        assert (await made.ask())[1]["X-Topcoat-Model"] == BASE

    play(project, scene, swap=swap)
    assert standing(project) == ("awaiting", BASE)
    assert len(processes(path)) == (1 if script else 0)


def test_a_candidate_whose_server_dies_is_not_tried_again_and_again(project: Path) -> None:
    path = let_await(project, scripted())

    async def scene(made: Stage) -> None:
        await made.until(lambda: said(made, "candidate answers"))
        os.kill(processes(path)[0], signal.SIGKILL)
        await made.until(lambda: said(made, "its server ended"))
        await asyncio.sleep(0.3)
        assert (await made.ask(session="x"))[0] == 200

    play(project, scene)
    assert standing(project) == ("awaiting", BASE)
    assert len(processes(path)) == 1


def test_one_candidate_is_tried_after_the_other(project: Path) -> None:
    let_await(project, scripted(finish="length"))
    let_await(project, scripted(), name="second", phase="phase36")

    async def scene(made: Stage) -> None:
        await begin(made, 0, 200, until=lambda: said(made, "candidate is discarded"))
        assert not said(made, "second answers")
        await begin(made, 300, 200, until=lambda: said(made, "second is promoted"))
        await made.until(lambda: made.door.model == "second")

    play(project, scene)
    assert (standing(project)[0], standing(project, "phase36")) == ("discarded", ("promoted", "second"))
