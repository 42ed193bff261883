"""Another model of a project's lineage, swaps while clients ask, and who answered."""

from __future__ import annotations

import asyncio
import json
import operator
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from openai import OpenAI

from tests.support.fake_project import opened
from tests.support.recorder import Recorder
from tests.support.usage import scripted_server
from tests.support.usage.front import CHAT
from topcoat.demo import TEMPLATE
from topcoat.engine.beginnings import Kept
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import Engine, ServerProcess
from topcoat.engine.registry import EngineEntry
from topcoat.progress import Note
from topcoat.project.project import open_project
from topcoat.project.session import open_session
from topcoat.store.paths import ProjectPaths
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.candidate.awaiting import trying_awaited
from topcoat.usage.capture.candidate.trying import Tried
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.front import Front, listening
from topcoat.usage.capture.recorder import RecordingFigures
from topcoat.usage.capture.served.door import Door
from topcoat.usage.capture.served.loading import Loader
from topcoat.usage.capture.served.swapping import Swap, Swapper, swapping

__all__ = ["Asked", "Stage", "add_fake", "add_model", "add_scripted", "ask_many", "promote", "rollback", "stage"]
__all__ += ["make_scripted", "stuck_model"]


def add_model(project: Path, name: str, engine: Engine, make: Callable[[Path], object]) -> None:
    """Let `make` make a folder, and record it as a model of the lineage."""
    with open_session(project, engine, Recorder(), "test") as session:
        path = session.paths.models / name
        make(path)
        base = session.model("production")
        session.lineage.add_model(name, digest=engine.describe(path).digest, path=path, parent=base.root)


def add_fake(project: Path, name: str, answer: str) -> None:
    """Add a fake model that gives one answer to everything."""
    add_model(project, name, FakeEngine(), lambda path: FakeEngine.create(path, [("anything", answer)]))


def promote(project: Path, name: str) -> None:
    with opened(project) as session:
        session.lineage.promote(name, "for the test")


def rollback(project: Path) -> None:
    with opened(project) as session:
        session.lineage.rollback("for the test")


OTHERS_WORDS = {"there", "at"}


@dataclass(frozen=True)
class Asked:
    """A question, and its answer as the client saw it. `model` is what its header says, `seconds` what it took."""

    question: str
    text: str
    model: str
    seconds: float

    @property
    def giver(self) -> str:
        """Who gave the answer, by its words: the embedded model, the stuck one (`other`), or "both"."""
        others = [word in OTHERS_WORDS for word in self.text.split()]
        if all(others):
            return "other"
        return "both" if any(map(operator.and_, others, others[1:])) else "phase33b"


def ask_many(
    url: str, questions: Sequence[str], *, at_a_time: int, max_tokens: int = 60
) -> tuple[list[Asked], list[BaseException]]:
    """Ask all `questions` in order, every other one streamed. Gives the answers, and what the client raised instead.

    It tries nothing again.
    """
    with OpenAI(base_url=url, api_key="-", max_retries=0, timeout=600) as client:

        def ask(number: int) -> Asked:
            question: Any = [{"role": "user", "content": questions[number]}]
            asked = {"model": "any", "messages": question, "max_tokens": max_tokens, "temperature": 0.0}
            completions = client.chat.completions.with_raw_response
            started = time.perf_counter()
            if number % 2:
                raw = completions.create(**asked, stream=True)
                text = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
            else:
                raw = completions.create(**asked)
                text = raw.parse().choices[0].message.content or ""
            return Asked(questions[number], text, raw.headers["X-Topcoat-Model"], time.perf_counter() - started)

        with ThreadPoolExecutor(at_a_time) as threads:
            asking = [threads.submit(ask, number) for number in range(len(questions))]
    failed = [error for one in asking if (error := one.exception())]
    return [one.result() for one in asking if not one.exception()], failed


def stuck_model(folder: Path) -> None:
    """The embedded model, made worse on purpose: whatever it is asked, it says nothing but "there" and "at".

    Its last norm lets one dimension through, so the likeliest token is the one with the largest or the smallest value.
    The dimension is made large: near zero, the quantized product rounds a third token to the first place.
    """
    import mlx.core as mx

    shutil.copytree(TEMPLATE / "models" / "phase33b", folder)
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    norm = weights["model.norm.weight"]
    weights["model.norm.weight"] = mx.where(mx.arange(norm.size) == 23, 1000.0, mx.zeros_like(norm))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})


def add_scripted(project: Path, name: str, **script: object) -> Path:
    """Add a model whose server does what `script` says."""
    add_model(project, name, FakeEngine(), lambda path: make_scripted(path, **script))
    return ProjectPaths(project).models / name


def make_scripted(path: Path, **script: object) -> None:
    """Make the folder of a model whose server does what `script` says."""
    FakeEngine.create(path, [("anything", path.name)])
    (path / "script.json").write_text(json.dumps(script))


@dataclass
class Stage:
    """A project that is served in this process, and what became of it."""

    project: Path
    client: ClientSession
    swapper: Swapper
    door: Door
    sink: Recorder
    exchanges: list[Exchange]
    following: list[asyncio.Task[None]]

    def said(self) -> list[str]:
        return [event.text for event in self.sink.events if isinstance(event, Note)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so. Raises what following production raises."""
        async with asyncio.timeout(30):
            while not condition():
                for task in self.following:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def ask(self, path: str = CHAT, session: str = "", **fields: Any) -> tuple[int, Mapping[str, str], str]:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], **fields}
        headers = {"X-Session-Id": session} if session else {}
        async with self.client.post(path, json=body, headers=headers) as answer:
            return answer.status, answer.headers, await answer.text()


def scripted_process(
    model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object], kept: Kept | None = None
) -> ServerProcess:
    return ServerProcess([sys.executable, "-I", scripted_server.__file__, str(model), str(port)], {}, {})


@asynccontextmanager
async def stage(
    project: Path, swap: Swap, *, longest_wait: float = 30.0, canaries: bool = False
) -> AsyncIterator[Stage]:
    """Serve the production model with scripted servers, and follow production. `canaries`: try what awaits one."""
    sink, exchanges, tried = Recorder(), list[Exchange](), Tried()

    def record(exchange: Exchange) -> Future[None]:
        tried.recorded(exchange)
        exchanges.append(exchange)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    entry = EngineEntry(lambda _: FakeEngine(), scripted_process)
    with open_project(project) as opened_project:
        loader = Loader(opened_project, opened_project.day, entry, FakeEngine(), (), sink)
        door = Door(longest_wait=longest_wait)
        first = loader.check(opened_project.model("production"))
        front = Front(door, Access("127.0.0.1"), record, RecordingFigures, tried=tried)
        async with (
            swapping(loader, first, door, swap, sink) as swapper,
            AsyncExitStack() as trying,
            listening(front, 0) as port,
            ClientSession(f"http://127.0.0.1:{port}") as client,
        ):
            following = [asyncio.create_task(swapper.follow())]
            if canaries:
                work = trying_awaited(loader, swapper, door, tried, swap, sink)
                following.append(await trying.enter_async_context(work))
            try:
                yield Stage(project, client, swapper, door, sink, exchanges, following)
            finally:
                for task in following:
                    task.cancel()
                await asyncio.wait(following)
