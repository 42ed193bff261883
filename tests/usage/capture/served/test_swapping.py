"""Production is exchanged while clients ask: real servers and sockets, with models that do as they are told."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.usage.scripted_server import processes
from tests.support.usage.swaps import Stage, add_scripted, promote, rollback, stage
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import MemoryUse
from topcoat.errors import EngineFault
from topcoat.usage.capture.served import swapping as swapping_module
from topcoat.usage.capture.served.swapping import Swap, lack_of_room


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping_module, "_LOOK_SECONDS", 0.05)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose production model is `old`."""
    (tmp_path / "topcoat.toml").write_text(
        '[project]\nname = "p"\nbase = "root"\ncatalog = "tools.json"\ncalls = "native"\nsuite = "suite.jsonl"\n'
        'system_prompt = "system.md"\n'
    )
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
    (tmp_path / "tools.json").write_text(json.dumps([{"type": "function", "function": function}]))
    case = {"id": "a", "category": "c", "prompt": "Look.", "expect": {"calls": [{"tool": "look", "args": {}}]}}
    (tmp_path / "suite.jsonl").write_text(json.dumps(case) + "\n")
    (tmp_path / "system.md").write_text("You look.")
    FakeEngine.create(tmp_path / "root", [("anything", "root")])
    add_scripted(tmp_path, "old")
    promote(tmp_path, "old")
    return tmp_path


def folder(project: Path, name: str) -> Path:
    return project / ".topcoat" / "models" / name


def alive(project: Path) -> dict[str, int]:
    """The models whose servers run, and how many of each do."""
    running: dict[str, int] = {}
    for model in (project / ".topcoat" / "models").iterdir():
        for process in processes(model):
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                continue
            running[model.name] = running.get(model.name, 0) + 1
    return running


async def begun(made: Stage) -> asyncio.Task[tuple[int, object, str]]:
    """A streamed request whose answer has begun and doesn't end."""
    asked: asyncio.Task[tuple[int, object, str]] = asyncio.create_task(made.ask(stream=True))
    upstream = made.door.upstream
    assert upstream is not None
    await made.until(lambda: made.door.running(upstream))
    await asyncio.sleep(0.1)  # some words
    return asked


def test_a_running_answer_ends_on_the_model_that_began_it(project: Path) -> None:
    add_scripted(project, "new")

    async def scene() -> None:
        async with stage(project, "beside") as made:
            running = await begun(made)
            promote(project, "new")
            await made.until(lambda: made.door.model == "new")
            status, headers, text = await made.ask()
            assert (status, headers["X-Topcoat-Model"]) == (200, "new")
            assert "new new new" in text
            assert alive(project) == {"old": 1, "new": 1}
            (folder(project, "old") / "end").touch()
            status, _, text = await running
            assert status == 200
            assert "old" in text
            assert "new" not in text
            assert text.endswith("data: [DONE]\n\n")
            await made.until(lambda: alive(project) == {"new": 1})
        assert alive(project) == {}
        assert [exchange.model for exchange in made.exchanges] == ["new", "old"]
        assert made.said() == ["new is the production model now: loading it beside old", "serving new"]

    asyncio.run(scene())


def test_where_two_models_do_not_fit_requests_wait(project: Path) -> None:
    add_scripted(project, "new", loading=0.3)

    async def scene() -> None:
        async with stage(project, "wait") as made:
            running = await begun(made)
            promote(project, "new")
            await made.until(lambda: made.door.upstream is None)
            waiting = [asyncio.create_task(made.ask()) for _ in range(3)]
            await made.until(lambda: made.door.waiting == 3)
            async with made.client.get("/health") as answer:
                health = await answer.json()
            assert (health["status"], health["model"], health["waiting"]) == ("ok", "old", 3)
            assert alive(project) == {"old": 1}
            (folder(project, "old") / "end").touch()
            assert "new" not in (await running)[2]
            assert {(status, headers["X-Topcoat-Model"]) for status, headers, _ in await asyncio.gather(*waiting)} == {
                (200, "new")
            }
            assert alive(project) == {"new": 1}
        assert [exchange.model for exchange in made.exchanges] == ["old", *["new"] * 3]
        assert made.said() == [
            "new is the production model now. It isn't loaded beside old (--swap wait): requests wait until it answers",
            "serving new; 3 requests waited",
        ]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "form"), [("/v1/chat/completions", "topcoat"), ("/v1/messages", "error"), ("/v1/responses", "error")]
)
def test_who_waits_too_long_is_told_when_to_come_back(project: Path, path: str, form: str) -> None:
    add_scripted(project, "new")

    async def scene() -> None:
        async with stage(project, "wait", longest_wait=0.1) as made:
            running = await begun(made)
            promote(project, "new")
            await made.until(lambda: made.door.upstream is None)
            status, headers, text = await made.ask(path, input="hello")
            assert status == 503
            assert 1 <= int(headers["Retry-After"]) <= 60
            document = json.loads(text)
            assert "being exchanged" in document["error"]["message"]
            assert form in (document["error"]["type"], document.get("type"), *document)
            (folder(project, "old") / "end").touch()
            await running
            await made.until(lambda: made.door.model == "new")
            assert (await made.ask())[0] == 200
        assert made.said()[-1] == "serving new; 1 request waited, 1 of them too long"

    asyncio.run(scene())


def test_a_model_whose_files_have_changed_is_not_served_until_they_are_whole(project: Path) -> None:
    memory = add_scripted(project, "new") / "memory.json"
    whole = memory.read_text()
    memory.write_text("[]")

    async def scene() -> None:
        async with stage(project, "wait") as made:
            promote(project, "new")
            await made.until(lambda: made.said())
            await asyncio.sleep(0.3)  # some looks later
            assert len(made.said()) == 1
            assert "new is the production model now, but can't be served, so old stays: the files" in made.said()[0]
            assert made.said()[0].endswith("hint: topcoat rebuild new")
            assert (await made.ask())[1]["X-Topcoat-Model"] == "old"
            memory.write_text(whole)
            await made.until(lambda: made.door.model == "new")

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("swap", "script", "why"),
    [
        ("wait", {"dies": True}, "ended with exit code 3; it printed last:\n  no room for the weights"),
        ("beside", {"refuses": "no such layer"}, "can't answer with new (no such layer)"),
    ],
    ids=["dies", "refuses"],
)
def test_a_model_that_cannot_be_loaded_changes_nothing(
    project: Path, swap: Swap, script: dict[str, object], why: str
) -> None:
    add_scripted(project, "new", **script)

    async def scene() -> None:
        async with stage(project, swap) as made:
            promote(project, "new")
            await made.until(lambda: any("can't be served" in said for said in made.said()))
            assert (await made.ask())[1]["X-Topcoat-Model"] == "old"
            await asyncio.sleep(0.2)
            assert alive(project) == {"old": 1}
        (said,) = [said for said in made.said() if "can't be served" in said]
        assert why in said
        assert said.endswith("hint: topcoat rollback")

    asyncio.run(scene())


@pytest.mark.parametrize("swap", ["beside", "wait"])
def test_of_promotions_in_quick_succession_the_last_one_wins(project: Path, swap: Swap) -> None:
    for name in ("b", "c"):
        add_scripted(project, name, loading=60 if swap == "beside" else 0.3)  # the beside one is given up
    add_scripted(project, "d")

    async def scene() -> None:
        async with stage(project, swap) as made:
            for name in ("b", "c", "d"):
                promote(project, name)
                await made.until(lambda name=name: processes(folder(project, name)) or swap == "wait")  # type: ignore[misc]
            await made.until(lambda: made.door.model == "d" and alive(project) == {"d": 1})
            assert (await made.ask())[1]["X-Topcoat-Model"] == "d"
            rollback(project)
            promote(project, "d")  # back before it was seen
            await asyncio.sleep(0.2)
            assert alive(project) == {"d": 1}
        assert alive(project) == {}

    asyncio.run(scene())


@pytest.mark.parametrize("swap", ["beside", "wait"])
def test_the_end_during_a_swap_leaves_no_process(project: Path, swap: Swap) -> None:
    add_scripted(project, "new", loading=20)

    async def scene() -> None:
        async with stage(project, swap) as made:
            promote(project, "new")
            await made.until(lambda: alive(project).get("new"))
        assert alive(project) == {}

    asyncio.run(scene())


def test_the_end_leaves_no_process_of_a_model_that_still_answers(project: Path) -> None:
    add_scripted(project, "new")

    async def scene() -> None:
        async with stage(project, "beside") as made:
            running = await begun(made)
            promote(project, "new")
            await made.until(lambda: made.door.model == "new")
            assert alive(project) == {"old": 1, "new": 1}
        assert alive(project) == {}
        running.cancel()  # a client whose session is closed meanwhile may wait for ever

    asyncio.run(scene())


def test_a_served_model_that_dies_ends_following(project: Path) -> None:
    async def scene() -> None:
        async with stage(project, "beside") as made:
            os.kill(processes(folder(project, "old"))[0], 9)
            with pytest.raises(EngineFault, match="killed by signal 9"):
                await made.until(lambda: False)

    asyncio.run(scene())


@pytest.mark.parametrize("swap", ["beside", "wait"])
def test_an_answer_that_does_not_end_is_cut_and_said(
    project: Path, swap: Swap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swapping_module, "_LONGEST_ANSWER", 0.2)
    add_scripted(project, "new")

    async def scene() -> None:
        async with stage(project, swap) as made:
            running = await begun(made)
            promote(project, "new")
            with pytest.raises(Exception, match=r"payload|disconnected"):
                await running
            await made.until(lambda: made.door.model == "new" and alive(project) == {"new": 1})
        assert "old ends, and 1 answer of it with it" in made.said()
        assert [(exchange.model, exchange.whole) for exchange in made.exchanges] == [("old", False)]

    asyncio.run(scene())


def test_never_is_said_once(project: Path) -> None:
    add_scripted(project, "new")

    async def scene() -> None:
        async with stage(project, "never") as made:
            promote(project, "new")
            await made.until(lambda: made.said())
            await asyncio.sleep(0.2)
            assert made.door.model == "old"
        assert made.said() == ["new is the production model now: Ctrl-C, then topcoat serve, to serve it"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        ({"taken": 10_000_000_000, "free": 50_000_000_000}, "loading it beside old"),
        ({"taken": 10_000_000_000, "free": 5_000_000_000}, "GB, and 5.0 GB are free)"),
        (None, "(the free memory isn't known)"),
    ],
)
def test_the_free_memory_decides(project: Path, memory: dict[str, int] | None, said: str) -> None:
    (folder(project, "old") / "script.json").write_text(json.dumps({"memory": memory}))
    add_scripted(project, "new", memory=memory)

    async def scene() -> None:
        async with stage(project, "auto") as made:
            promote(project, "new")
            await made.until(lambda: made.door.model == "new")
        assert said in made.said()[0]

    asyncio.run(scene())


def test_a_model_that_is_on_its_way_out_makes_room(project: Path) -> None:
    """While an answer of the first model runs, the second one is loaded beside it. The third one isn't beside both."""
    roomy, tight = {"taken": 100, "free": 10_000}, {"taken": 100, "free": 10}
    (folder(project, "old") / "script.json").write_text(json.dumps({"memory": roomy}))
    add_scripted(project, "second", memory=tight)
    add_scripted(project, "third")

    async def scene() -> None:
        async with stage(project, "auto") as made:
            running = await begun(made)
            promote(project, "second")
            await made.until(lambda: made.door.model == "second")
            promote(project, "third")
            await asyncio.sleep(0.3)
            assert made.door.upstream is not None, "no request waits while an earlier model is on its way out"
            assert alive(project) == {"old": 1, "second": 1}
            (folder(project, "old") / "end").touch()
            await running
            await made.until(lambda: made.door.model == "third")
            assert alive(project) == {"third": 1}

    asyncio.run(scene())


@given(
    taken=st.integers(1, 10**12),
    free=st.integers(0, 10**12),
    before=st.integers(1, 10**12),
    after=st.integers(1, 10**12),
    more=st.integers(0, 10**12),
)
def test_what_fits_fits_where_more_is_free_or_less_is_taken(
    taken: int, free: int, before: int, after: int, more: int
) -> None:
    fits = not lack_of_room(MemoryUse(taken, free), before, after)
    if fits:
        assert taken * after / before <= free
        assert not lack_of_room(MemoryUse(taken, free + more), before, after)
        assert not lack_of_room(MemoryUse(taken, free), before + more, after)
    else:
        assert lack_of_room(MemoryUse(taken + more, free), before, after)
        assert lack_of_room(MemoryUse(taken, free), before, after + more)
