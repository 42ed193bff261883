"""Serves the production model, or another server's, to agents, and records what they do with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from topcoat.engine.protocol import Message, Tokenizer, Tools
from topcoat.engine.registry import ENGINES, EngineEntry
from topcoat.errors import InvalidInput, StorageFault, TopcoatError
from topcoat.progress import Note, Sink
from topcoat.project.integrity import require_whole
from topcoat.project.project import Project
from topcoat.project.rendering import project_tokenizer
from topcoat.spec.project import SuccessSection
from topcoat.store.lineage import Lineage
from topcoat.suites.endpoint import KEY_VARIABLE
from topcoat.usage.capture.access import Access, is_loopback
from topcoat.usage.capture.apis.notes import Notes
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.front import Front, TokenCounter, Upstream, listening
from topcoat.usage.capture.model_server import ModelServer, model_server
from topcoat.usage.capture.recorder import Recorder, RecordingFigures
from topcoat.usage.events import Event
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.privacy.personal import require_libraries
from topcoat.usage.sessions import Sessions
from topcoat.usage.success.judge import DEFAULTS
from topcoat.usage.turns import Spoken, boundaries, events_of

__all__ = ["TOKEN_VARIABLE", "Serving", "exchange_events", "serve", "token_counter"]

TOKEN_VARIABLE = "TOPCOAT_TOKEN"
_SHOWN_SECONDS = 5.0
_SWITCH_SECONDS = 0.0005
"""How long the recording thread may keep the interpreter while an answer waits. Python's default is 5 ms."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve. `upstream` is the URL of a server with the model; "" for the engine's own, with `arguments`.

    `repository` is the agents' working folder. Its branch is recorded with each event.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    upstream: str = ""
    repository: Path | None = None
    arguments: Sequence[str] = ()
    engine: EngineEntry = ENGINES["mlx"]


def serve(project: Project, serving: Serving, sink: Sink) -> RecordingFigures:
    """Serve until SIGINT or SIGTERM, and return how many exchanges were recorded.

    Raises `InvalidInput` for a host that others can reach without a token, for arguments that the server doesn't take
    and options that the model's chat template doesn't read, `Refused` if the port is taken or if results are kept
    without the libraries for that, `StorageFault` if the model is damaged, `EngineFault` when the model server ends by
    itself.
    """
    if not is_loopback(serving.host) and not serving.token:
        message = f"whoever reaches {serving.host} could use the model"
        raise InvalidInput(
            message, hint=f"{TOKEN_VARIABLE}=$(openssl rand -hex 16) topcoat serve --host {serving.host}"
        )
    if serving.upstream and serving.arguments:
        raise InvalidInput(
            f"{serving.upstream} runs already, so nothing can be said to it: {' '.join(serving.arguments)}",
            hint=f"topcoat serve --upstream {serving.upstream}",
        )
    if project.settings.spec.capture.results == "keep":
        require_libraries(project.settings.source.where("capture", "results"))
    count = None
    if not serving.upstream:
        model = project.model("production")
        sink.emit(Note(f"comparing the files of {model.name} with what was recorded"))
        engine = serving.engine.open(sink)
        require_whole(engine, model)
        tokenizer = project_tokenizer(project, engine, model.path)
        count = token_counter(tokenizer)
        if project.agent.calls == "native" and not tokenizer.serves_calls:
            sink.emit(
                Note(f"clients find the calls of {model.name} in its text: mlx-lm's server doesn't know its form")
            )
    digests = DialogueDigests(project.paths.dialogue_key)
    recorder = Recorder(project.paths.events, capture=project.settings.spec.capture)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        asyncio.run(_serve(project, serving, sink, recorder, digests, count))
    finally:
        figures = recorder.close()
        _say_what_became(figures, sink)
    return figures


def exchange_events(
    exchange: Exchange,
    sessions: Sessions,
    digests: DialogueDigests,
    *,
    model: str,
    repository: Path,
    success: SuccessSection = DEFAULTS,
    results: Literal["shape", "keep"] = "shape",
) -> list[Event]:
    """The events of what is new in an exchange. Raises `ValueError` if it contains no dialogue.

    `success` has the project's own marks of results. With `results="keep"`, results have their text.
    """
    turns, named, branch = exchange.question()
    if not digests.is_clean(named, personal=results == "keep"):
        named = digests.of_name(named)  # else all sessions with such names would be one: "[secret]"
    reached = keyed = digests.boundaries(turns)
    session, known = sessions.place(keyed, named)
    if not known:  # an earlier version may have stored its beginning
        earlier = boundaries(turns)
        session, known = sessions.place(earlier, named)
        reached = [*earlier[:known], *keyed[known:]]
    common: dict[str, Any] = {
        "session": session,
        "time": exchange.time,
        "source": "serve",
        "model": model,
        "branch": branch or _branch(repository, int(time.monotonic())),
        "success": success,
        "results": results,
    }
    end = keyed[-1] if keyed else ""
    answers = [(answer, digests.boundaries([answer], end)[0]) for answer in exchange.answers()]
    events = events_of(
        [*turns, *(a for a, _ in answers[:1])], [*reached, *(p for _, p in answers[:1])], known, **common
    )
    if not known and events:
        events[0] = Event.model_validate({**events[0].model_dump(exclude={"id"}), "tools": exchange.tools()})
    start = _last_question(turns)
    for answer, place in answers[1:]:  # an event holds a question and its answer, so it is all that they repeat
        asked, places = [*turns[start:], answer], [*reached[start:], place]
        before = reached[start - 1] if start else ""
        events += events_of(asked, places, max(known - start, 0), before, **common)[-1:]
    return events


def _last_question(turns: Sequence[Spoken]) -> int:
    """The place of the last user's turn, or of the system prompts before it, which its event holds, too."""
    start = len(turns)
    asked = False
    while start and (turns[start - 1].role == "system" or (turns[start - 1].role == "user" and not asked)):
        start -= 1
        asked = asked or turns[start].role == "user"
    return start


def token_counter(tokenizer: Tokenizer) -> TokenCounter:
    """What counts the tokens of messages and tools as the model's chat template writes them, for any thread.

    It raises `InvalidInput` for what the template refuses, and for images.
    """
    lock = threading.Lock()  # tokenizers can't be used by two threads at once

    def count(messages: Sequence[Message], tools: Tools) -> int:
        if any(isinstance(message["content"], list) for message in messages):
            raise InvalidInput("the tokens of images aren't counted")
        with lock:
            return len(tokenizer.chat(messages, tools=tools, add_generation_prompt=True))

    return count


async def _serve(
    project: Project,
    serving: Serving,
    sink: Sink,
    recorder: Recorder,
    digests: DialogueDigests,
    count: TokenCounter | None,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    repository = serving.repository or project.paths.root
    model = "" if serving.upstream else project.model("production").name
    capture = project.settings.spec.capture

    def record(exchange: Exchange) -> Future[None]:
        def events(sessions: Sessions) -> list[Event]:
            return exchange_events(
                exchange,
                sessions,
                digests,
                model=model,
                repository=repository,
                success=capture.success,
                results=capture.results,
            )

        return recorder.put(events, len(exchange.request) + len(exchange.response))

    async with _upstream(project, serving, sink, stop) as (upstream, server):
        if upstream is None:
            return
        notes = Notes(lambda note: sink.emit(Note(note)))
        access = Access(serving.host, serving.token)
        front = Front(upstream, access, record, recorder.figures, count, notes)
        async with listening(front, serving.port) as port:
            host = f"[{serving.host}]" if ":" in serving.host else serving.host
            sink.emit(Note(f"serving {model or serving.upstream} at http://{host}:{port}/v1; Ctrl-C ends it"))
            await _until(stop, server, recorder, project.lineage, model, sink)


@asynccontextmanager
async def _upstream(
    project: Project, serving: Serving, sink: Sink, stop: asyncio.Event
) -> AsyncIterator[tuple[Upstream | None, ModelServer | None]]:
    """The server with the model: the given one, or a new one. None if the user stopped it while it started."""
    if serving.upstream:
        key = os.environ.get(KEY_VARIABLE, "")
        yield Upstream(_root(serving.upstream), {"Authorization": f"Bearer {key}"} if key else {}), None
        return
    model = project.model("production")
    sink.emit(Note(f"loading {model.name}"))
    async with contextlib.AsyncExitStack() as stack:
        running = model_server(serving.engine, model.path, serving.arguments, project.settings.spec.project.template)
        starting = asyncio.ensure_future(stack.enter_async_context(running))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            yield None, None
            return
        server = starting.result()
        yield Upstream(server.url, server.headers, model.name), server


async def _until(
    stop: asyncio.Event, server: ModelServer | None, recorder: Recorder, lineage: Lineage, model: str, sink: Sink
) -> None:
    """Wait for the end. Meanwhile, report if recording fails or if production is no longer `model`.

    The served model stays: two models may not fit into memory, and agents are at work. Raises `EngineFault`.
    """
    stopped = asyncio.create_task(stop.wait())
    died: asyncio.Task[TopcoatError] | None = asyncio.create_task(server.died()) if server else None
    failing = False
    gone = 0
    try:
        while not stopped.done():
            await asyncio.wait(
                {stopped, *([died] if died else [])}, timeout=_SHOWN_SECONDS, return_when="FIRST_COMPLETED"
            )
            if died is not None and died.done() and not stopped.done():
                raise died.result()
            figures = recorder.figures()
            now = bool(figures.waiting and figures.problem)
            if now and not failing:
                said = f"recording fails: {figures.problem}; {figures.waiting} exchanges wait"
                sink.emit(Note(said, warning=True))
            failing = now
            if figures.gone > gone:
                sink.emit(Note(figures.problem, warning=True))
            gone = figures.gone
            if server and (production := _production(lineage) or model) != model:
                said = f"{production} is the production model now: Ctrl-C, then topcoat serve, to serve it"
                sink.emit(Note(said))
                model = production
    finally:
        stopped.cancel()
        if died is not None:
            died.cancel()


def _production(lineage: Lineage) -> str | None:
    """The production model. None if there is none, or if the lineage can't be read now."""
    with contextlib.suppress(StorageFault):
        return lineage.production()
    return None


def _say_what_became(figures: RecordingFigures, sink: Sink) -> None:
    sink.emit(Note(f"{figures.kept} exchanges recorded"))
    if figures.gone:
        sink.emit(Note(f"{figures.gone} were recorded in a file that was deleted or replaced meanwhile", warning=True))
    if figures.lost:
        sink.emit(Note(f"{figures.lost} exchanges could not be kept: {figures.problem}", warning=True))


def _root(url: str) -> str:
    """The URL of a server, without a trailing /v1. Raises `InvalidInput`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{url} is not the URL of a server", hint="--upstream http://127.0.0.1:8081/v1")
    return url.rstrip("/").removesuffix("/v1")


@lru_cache(maxsize=1)
def _branch(repository: Path, _second: int) -> str:
    """The branch that is checked out in a folder, "" if there is none. Asks git once a second at most."""
    command = ["git", "-C", str(repository), "symbolic-ref", "--short", "-q", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
