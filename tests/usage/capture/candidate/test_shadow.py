"""A candidate beside the real front: nobody sees its answers, nobody waits for them, and all of them are counted."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.recorder import Recorder
from tests.support.usage.candidates import TOOLS, Candidate, candidate
from tests.support.usage.front import CHAT, HELLO, Answer, streamed, whole, world
from topcoat.progress import Note
from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.store.files import append_line
from topcoat.usage.capture.candidate import shadow as shadow_module
from topcoat.usage.capture.candidate.records import ShadowPair
from topcoat.usage.capture.candidate.shadow import Shadow, shadowing

AGENT = Agent(own_catalog(TOOLS, Path("tools.json")), calls="native")


@dataclass
class Scene:
    client: ClientSession
    hidden: Candidate
    shadow: Shadow
    sink: Recorder
    path: Path

    async def ask(self, text: str = "hello", path: str = CHAT, **fields: Any) -> str:
        asked = {"messages": [{"role": "user", "content": text}], "max_tokens": 9, **fields}
        async with self.client.post(path, json=asked) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def until(self, **figures: int) -> None:
        async with asyncio.timeout(20):
            while any(getattr(self.shadow.figures, name) < number for name, number in figures.items()):
                await asyncio.sleep(0.005)

    def pairs(self) -> list[ShadowPair]:
        return [ShadowPair.model_validate_json(line) for line in self.path.read_text().splitlines()]

    def said(self) -> str:
        return "\n".join(event.text for event in self.sink.events if isinstance(event, Note))


@asynccontextmanager
async def scene(folder: Path, shown: Answer, hidden: Answer, *, share: float = 1.0) -> AsyncIterator[Scene]:
    sink, path = Recorder(), folder / "shadow.jsonl"
    async with (
        candidate(hidden) as made,
        shadowing(made.loaded, share, AGENT, path, sink) as shadow,
        world(folder, shown, model="prod", offer=shadow.offer) as (_, client),
    ):
        yield Scene(client, made, shadow, sink, path)


def calling(path: object) -> Answer:
    call = {"id": "1", "type": "function", "function": {"name": "read", "arguments": json.dumps({"path": path})}}
    return whole("", tool_calls=[call])


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def refusing(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "no"}, status=500)


def test_the_candidates_answer_is_compared_and_never_shown(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("What a day."), calling("secret.py")) as made:
            assert "What a day." in (answer := await made.ask("my secret"))
            assert "secret.py" not in answer
            await made.until(pairs=1)
            assert json.loads(made.hidden.asked[0])["messages"] == [{"role": "user", "content": "my secret"}]
            (pair,) = made.pairs()
        assert (pair.production, pair.candidate, pair.same) == ("prod", "candidate", False)
        assert (pair.shown.calls, pair.shown.valid) == ([], None)
        assert (pair.hidden.calls, pair.hidden.valid) == (["read"], True)
        assert pair.hidden.seconds > 0
        assert "secret" not in made.path.read_text()
        assert "candidate answered 1 request unseen: the same calls in 0 (1 with a call)" in made.said()

    asyncio.run(play())


def test_a_line_that_is_begun_at_the_end_is_in_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the file would have a pair more than what was said."""
    begun, ends = threading.Event(), threading.Event()

    def slowly(path: Path, line: str) -> None:
        begun.set()
        assert ends.wait(20)
        append_line(path, line)

    monkeypatch.setattr(shadow_module, "append_line", slowly)

    async def play() -> None:
        async with scene(tmp_path, whole("a"), whole("b")) as made:
            await made.ask()
            assert await asyncio.to_thread(begun.wait, 20)
            asyncio.get_running_loop().call_later(0.1, ends.set)
        assert len(made.pairs()) == 1
        assert (made.shadow.figures.pairs, made.shadow.figures.dropped) == (1, 0)
        assert "candidate answered 1 request unseen" in made.said()

    asyncio.run(play())


@pytest.mark.parametrize(("other", "same", "valid"), [("a.py", True, True), ("b.py", False, True), (7, False, False)])
def test_calls_agree_with_their_arguments_and_fit_their_tool(
    tmp_path: Path, other: object, same: bool, valid: bool
) -> None:
    async def play() -> None:
        async with scene(tmp_path, calling("a.py"), calling(other)) as made:
            await made.ask()
            await made.until(pairs=1)
            (pair,) = made.pairs()
            assert (pair.same, pair.shown.valid, pair.hidden.valid) == (same, True, valid)
            assert pair.hidden.faults == ([] if valid else ["wrong-arguments"])
            figures = made.shadow.figures
            assert (figures.same, figures.calling, figures.valid_shown, figures.valid_hidden) == (same, 1, 1, valid)

    asyncio.run(play())


def test_a_candidate_that_never_answers_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "_MOST_WAITING", 3)

    async def play() -> None:
        async with scene(tmp_path, whole("Hi."), never) as made:
            async with asyncio.timeout(20):
                for number in range(10):
                    assert "Hi." in await made.ask(f"question {number}")
            assert made.shadow.figures.dropped == 6  # one is being answered, and three wait
        assert made.shadow.figures.dropped == 10
        assert "10 requests not asked, because too many waited or it ended before" in made.said()

    asyncio.run(play())


def test_many_bytes_dont_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "_MOST_BYTES", 10_000)

    async def play() -> None:
        async with scene(tmp_path, whole("Hi."), whole("Ho.")) as made:
            await made.ask("x" * 20_000)
            assert made.shadow.figures.dropped == 1
            for number in range(20):  # what is answered makes room
                await made.ask(f"{number}" + "x" * 2_000)
                await made.until(pairs=number + 1)

    asyncio.run(play())


def test_a_candidate_that_fails_is_counted_and_said_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("Hi."), refusing) as made:
            for number in range(3):
                assert "Hi." in await made.ask(f"question {number}")
            await made.until(failed=3)
        assert made.said().count("doesn't answer what production answers") == 1
        assert "3 requests not answered" in made.said()

    asyncio.run(play())


def test_an_answer_that_is_none_is_counted(tmp_path: Path) -> None:
    async def odd(_: web.Request) -> web.StreamResponse:
        return web.json_response({"choices": [{"message": 5}]})

    async def play() -> None:
        async with scene(tmp_path, whole("Hi."), odd) as made:
            await made.ask("one")
            await made.ask("two")
            await made.until(unread=2)
        assert made.said().count("can't be compared") == 1

    asyncio.run(play())


def test_a_candidate_whose_server_ends_is_said_and_production_goes_on(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("Hi."), whole("Ho.")) as made:
            made.hidden.dead.set()
            async with asyncio.timeout(10):
                while "candidate answers no more" not in made.said():
                    await asyncio.sleep(0.005)
            assert "Hi." in await made.ask()
            assert made.shadow.figures.dropped == 1
        assert "killed by signal 9" in made.said()

    asyncio.run(play())


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/v1/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_api_is_compared(tmp_path: Path, path: str, stream: bool) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if request.path == "/v1/completions":
            return web.json_response({"choices": [{"index": 0, "text": "Hi.", "finish_reason": "stop"}]})
        return await (streamed({"content": "Hi."}) if asked.get("stream") else whole("Hi."))(request)

    async def play() -> None:
        async with scene(tmp_path, answering, answering) as made:
            said = {"/v1/responses": {"input": "hello"}, "/v1/completions": {"prompt": "hello"}}
            messages = {} if path in said else {"messages": [HELLO]}
            body = {"model": "m", "max_tokens": 9, "stream": stream, **messages, **said.get(path, {})}
            async with made.client.post(path, json=body) as answer:
                assert answer.status == 200
                await answer.read()
            await made.until(pairs=1)
            assert made.pairs()[0].same

    asyncio.run(play())


def test_a_share_is_asked_the_same_one_each_time(tmp_path: Path) -> None:
    async def play(folder: Path) -> set[bytes]:
        folder.mkdir()
        async with scene(folder, whole("Hi."), whole("Ho."), share=0.5) as made:
            for number in range(20):
                await made.ask(f"question {number}")
                await asyncio.sleep(0.005)
            await made.until(pairs=len(made.hidden.asked))
            return set(made.hidden.asked)

    first, second = asyncio.run(play(tmp_path / "a")), asyncio.run(play(tmp_path / "b"))
    assert first == second
    assert 3 < len(first) < 17
