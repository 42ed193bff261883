"""A candidate gets a share of the sessions at the real front: each stays where it began."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.recorder import Recorder
from tests.support.usage.candidates import Candidate, candidate, small_project
from tests.support.usage.front import CHAT, Answer, whole, world
from topcoat.progress import Event as Said
from topcoat.progress import Note
from topcoat.project.project import open_project
from topcoat.suites.evidence.two_samples import decisive_look
from topcoat.usage.capture.candidate import canary as canary_module
from topcoat.usage.capture.candidate.canary import Canary, canarying
from topcoat.usage.capture.candidate.records import CanaryLook
from topcoat.usage.capture.candidate.trial import Trial
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.events import Event
from topcoat.usage.log import EventLog

PROSE = "It is done."


@dataclass
class Scene:
    client: ClientSession
    tried: Candidate
    canary: Canary
    sink: Recorder
    project: Path

    async def ask(
        self, *messages: dict[str, Any], session: str = "", path: str = CHAT, **fields: Any
    ) -> tuple[str, Any]:
        """The model that answers, and its message."""
        headers = {"X-Session-Id": session} if session else {}
        body = {"messages": list(messages) or [user("hello")], "max_tokens": 9, **fields}
        async with self.client.post(path, json=body, headers=headers) as answer:
            said = await answer.json()
            return answer.headers.get("X-Topcoat-Model", "-"), said["choices"][0][
                "message"
            ] if "choices" in said else {}

    async def begin(self, sessions: int, since: int = 0) -> list[str]:
        """The models that answer so many new sessions."""
        return [(await self.ask(user(f"question {n}"), session=f"s{n}"))[0] for n in range(since, since + sessions)]

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(20):
            while text not in self.said():
                await asyncio.sleep(0.005)

    def lines(self) -> list[CanaryLook]:
        written = self.project / ".topcoat" / "canary.jsonl"
        return [CanaryLook.model_validate_json(line) for line in written.read_text().splitlines()]

    def said(self) -> str:
        return "\n".join(event.text for event in self.sink.events if isinstance(event, Note))


@asynccontextmanager
async def scene(
    folder: Path, production: Answer, tried: Answer, *, share: float = 0.5, most: int = 40
) -> AsyncIterator[Scene]:
    sink, path = Recorder(), small_project(folder / "project")
    with open_project(path) as project:
        async with candidate(tried) as made, canarying(made.loaded, "prod", share, most, project, sink) as canary:

            def recorded(exchange: Exchange) -> None:
                session = canary.recorded(exchange)
                if session is not None and session.named:
                    session.recorded = session.name

            async with world(folder, production, model="prod", offer=recorded, canary=canary) as (_, client):
                yield Scene(client, made, canary, sink, path)


class Closed:
    """What is said to it, nobody reads."""

    def emit(self, _: Said) -> None:
        raise BrokenPipeError


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "1", "content": text}


def calling(path: object) -> Answer:
    call = {"id": "1", "type": "function", "function": {"name": "read", "arguments": json.dumps({"path": path})}}
    return whole("", tool_calls=[call])


async def refusing(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "no"}, status=500)


@pytest.mark.parametrize("named", ["header", "body", "not"])
def test_a_session_stays_with_the_model_that_began_it(tmp_path: Path, named: str) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("Production's."), whole("The candidate's.")) as made:
            dialogues: list[list[dict[str, Any]]] = [[] for _ in range(24)]
            models: list[set[str]] = [set() for _ in dialogues]
            for turn in range(3):
                for number, said in enumerate(dialogues):  # the sessions take turns
                    said.append(user(f"question {turn} of {number}"))
                    asked: dict[str, Any] = {"metadata": {"session": f"s{number}"}} if named == "body" else {}
                    model, message = await made.ask(*said, session=f"s{number}" if named == "header" else "", **asked)
                    assert ("candidate" in message["content"]) == (model == "candidate")
                    models[number].add(model)
                    said.append(message)
        assert {len(each) for each in models} == {1}
        assert 4 < sum(each == {"candidate"} for each in models) < 20

    asyncio.run(play())


def test_the_same_sessions_are_chosen_again(tmp_path: Path) -> None:
    async def play(folder: Path) -> list[str]:
        folder.mkdir()
        async with scene(folder, whole("a"), whole("b")) as made:
            return await made.begin(16)

    assert asyncio.run(play(tmp_path / "a")) == asyncio.run(play(tmp_path / "b"))


def test_a_dialogue_that_began_elsewhere_goes_on_with_production_and_isnt_compared(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("a"), whole("b"), share=1.0) as made:
            before = [user("hello"), {"role": "assistant", "content": "Hi."}, user("and now?")]
            assert (await made.ask(*before))[0] == "prod"
            assert (await made.ask(*before, session="old"))[0] == "prod"
            assert (await made.ask(user("next"), session="old"))[0] == "prod"
            assert (await made.ask(user("next"), session="new"))[0] == "candidate"
            await asyncio.sleep(0.2)
        (line,) = made.lines()
        assert (line.candidate.sessions, line.production.sessions) == (1, 0)

    asyncio.run(play())


def test_what_is_no_dialogue_is_productions(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("a"), whole("b"), share=1.0) as made:
            for path, body in (("/v1/embeddings", b"{}"), (CHAT, b"["), (CHAT, b'{"messages": 7}'), (CHAT, b"5")):
                async with made.client.post(path, data=body) as answer:
                    assert answer.headers.get("X-Topcoat-Model", "prod") == "prod"
            assert made.tried.asked == []

    asyncio.run(play())


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_dialogue_that_cant_be_written_as_json_is_answered_all_the_same(tmp_path: Path, share: float) -> None:
    """Python reads NaN, which is no JSON."""
    call = '{"id": "1", "function": {"name": "read", "arguments": {"path": NaN}}}'
    body = '{"messages": [{"role": "assistant", "tool_calls": [' + call + "]}]}"

    async def play() -> None:
        async with (
            scene(tmp_path, whole("a"), whole("b"), share=share) as made,
            made.client.post(CHAT, data=body) as answer,
        ):
            assert (answer.status, answer.headers["X-Topcoat-Model"]) == (200, "prod")

    asyncio.run(play())


def test_the_worse_candidate_is_sent_back_when_the_power_calculation_says(tmp_path: Path) -> None:
    """Production is never wrong here, and the candidate always is."""
    needed = decisive_look(1.0, 0.0, 0.5, Trial(40).looks)
    assert needed is not None

    async def play() -> None:
        async with scene(tmp_path, calling("a.py"), calling(3)) as made:
            models: list[str] = []
            while not made.canary.over:
                assert len(models) < 200
                models += await made.begin(1, len(models))
                await asyncio.sleep(0.01)  # exchanges are read meanwhile
            await made.until_said("candidate is sent back, and new sessions go to prod")
            assert set(await made.begin(30, len(models))) == {"prod"}
            began = models.index("candidate")
            assert (await made.ask(user("more"), session=f"s{began}"))[0] == "candidate"
        line = made.lines()[-1]
        assert (line.decision, line.candidate.sessions) == ("worse", needed.cases)
        assert line.candidate.kinds == {"invalid call": needed.cases}
        assert "invalid call in" in line.reason
        assert line.p_worse is not None
        assert line.level is not None
        assert line.p_worse <= line.level
        assert "topcoat serve ended" not in made.said()

    asyncio.run(play())


def test_a_candidate_that_refuses_every_request_is_sent_back(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole(PROSE), refusing) as made:
            await made.begin(40)
            await made.until_said("candidate is sent back")
        assert set(made.lines()[-1].candidate.kinds) == {"no answer"}

    asyncio.run(play())


def test_a_candidate_that_refuses_every_request_is_looked_at_though_nothing_else_is_asked(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole(PROSE), refusing, share=1.0, most=12) as made:
            await made.begin(12)
            async with asyncio.timeout(5):
                await made.canary.ended.wait()
        assert (made.lines()[-1].decision, made.lines()[-1].candidate.kinds) == ("undecided", {"no answer": 12})

    asyncio.run(play())


def test_a_better_candidate_is_said_and_not_promoted(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, calling(3), calling("a.py")) as made:
            await made.begin(40)
            await made.until_said("topcoat promote candidate")
            assert set(await made.begin(20, 40)) == {"prod"}
        assert made.lines()[-1].decision == "better"

    asyncio.run(play())


def test_a_candidate_that_is_alike_is_undecided_after_the_stated_number(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole(PROSE), whole(PROSE), most=12) as made:
            await made.begin(40)
            await made.until_said("the trial of candidate ends undecided")
        line = made.lines()[-1]
        assert (line.decision, line.look, line.looks, line.candidate.sessions) == ("undecided", 2, 2, 12)

    asyncio.run(play())


def test_a_candidate_whose_server_ends_leaves_its_sessions_to_production(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("a"), whole("b"), share=1.0) as made:
            assert (await made.ask(session="s"))[0] == "candidate"
            made.tried.dead.set()
            await made.until_said("its server ended")
            assert (await made.ask(session="s"))[0] == "prod"
            assert (await made.ask(session="t"))[0] == "prod"
        (line,) = made.lines()
        assert line.decision == "ended"
        assert "killed by signal 9" in line.reason

    asyncio.run(play())


def test_the_end_of_serve_is_recorded(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("a"), whole("b"), share=1.0) as made:
            await made.begin(3)
            await asyncio.sleep(0.2)
        (line,) = made.lines()
        assert line.decision == "ended"
        assert "0 of 3 sessions of candidate went wrong" in line.reason

    asyncio.run(play())


def test_what_the_user_and_the_tools_say_next_counts(tmp_path: Path) -> None:
    """Both models answer alike. In half of the candidate's sessions the tool fails, in half the user corrects."""

    async def play() -> None:
        async with scene(tmp_path, calling("a.py"), calling("a.py")) as made:
            for number in range(40):
                first = user(f"question {number}")
                model, message = await made.ask(first, session=f"s{number}")
                said = "Error: no such file" if model == "candidate" and number % 2 else "12 lines"
                more = "No, that's wrong, I meant b.py." if model == "candidate" and not number % 2 else "Thanks!"
                await made.ask(first, message, result(said), session=f"s{number}")
                await made.ask(first, message, result(said), message, user(more), session=f"s{number}")
            await made.until_said("candidate is sent back")
        assert set(made.lines()[-1].candidate.kinds) == {"failed call", "correction"}
        assert made.lines()[-1].production.wrong == 0

    asyncio.run(play())


def test_what_is_reported_of_sessions_counts_at_a_look(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole(PROSE), whole(PROSE), share=0.5, most=20) as made:
            for number in range(40):
                if await made.begin(1, number) == ["candidate"]:
                    with EventLog(made.project / ".topcoat" / "events.db") as log:
                        log.add([Event(session=f"s{number}", kind="closed")])
            await made.until_said("candidate is sent back")
        assert set(made.lines()[-1].candidate.kinds) == {"rejected work"}

    asyncio.run(play())


def test_a_look_is_stored_though_nobody_reads_what_is_said(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole(PROSE), whole(PROSE), most=10) as made:
            made.canary._sink = Closed()
            await made.begin(40)
            async with asyncio.timeout(5):
                await made.canary.ended.wait()
        assert made.lines()[-1].decision == "undecided"

    asyncio.run(play())


def test_a_fault_while_looking_ends_the_trial_and_comes_to_light(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> str:
        raise ArithmeticError("a fault")

    monkeypatch.setattr(canary_module, "in_words", faulty)

    async def play() -> None:
        async with scene(tmp_path, whole(PROSE), whole(PROSE), most=10) as made:
            await made.begin(40)
            async with asyncio.timeout(5):
                await made.canary.ended.wait()
            after.extend(await made.begin(10, 40))

    after: list[str] = []
    with pytest.raises(ArithmeticError, match="a fault"):
        asyncio.run(play())
    assert after == ["prod"] * 10


def test_another_production_model_ends_the_trial(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path, whole("a"), whole("b"), share=0.0001) as made:
            made.canary._production = "earlier"
            await made.begin(2)
            await made.until_said("prod is the production model now")
        assert made.lines()[-1].decision == "ended"

    asyncio.run(play())
