"""Serves the production model, or another server's, to agents, and records what they do with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from topcoat.engine.registry import ENGINES, EngineEntry
from topcoat.errors import InvalidInput
from topcoat.phases.canaries import awaited
from topcoat.progress import Note, Sink
from topcoat.project.project import Project
from topcoat.spec.project import SuccessSection
from topcoat.suites.endpoint import KEY_VARIABLE
from topcoat.usage.capture.access import Access, is_loopback
from topcoat.usage.capture.apis.notes import Notes
from topcoat.usage.capture.candidate.awaiting import trying_awaited
from topcoat.usage.capture.candidate.trying import Tried, Wish, trying
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.front import Front, listening
from topcoat.usage.capture.recorder import Recorder, RecordingFigures
from topcoat.usage.capture.served.door import LONGEST_WAIT, Door, Upstream
from topcoat.usage.capture.served.loading import Checked, Loader
from topcoat.usage.capture.served.swapping import Swap, say_calls_in_text, swapping
from topcoat.usage.events import Event
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.privacy.personal import require_libraries
from topcoat.usage.sessions import Sessions
from topcoat.usage.success.judge import DEFAULTS
from topcoat.usage.turns import Spoken, boundaries, events_of

__all__ = ["TOKEN_VARIABLE", "Serving", "exchange_events", "serve"]

_Result = TypeVar("_Result")

TOKEN_VARIABLE = "TOPCOAT_TOKEN"
_SHOWN_SECONDS = 5.0
_SWITCH_SECONDS = 0.0005
"""How long the recording thread may keep the interpreter while an answer waits. Python's default is 5 ms."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve. `upstream` is the URL of a server with the model; "" for the engine's own, with `arguments`.

    `repository` is the agents' working folder. Its branch is recorded with each event. `swap` is how another production
    model takes over, and `longest_wait` how many seconds a request waits for it at most. `candidate` is a model
    to try beside the production model.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    upstream: str = ""
    repository: Path | None = None
    arguments: Sequence[str] = ()
    engine: EngineEntry = ENGINES["mlx"]
    swap: Swap = "auto"
    longest_wait: float = LONGEST_WAIT
    candidate: Wish | None = None


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
    if serving.upstream and serving.candidate:
        raise InvalidInput(
            f"{serving.candidate.name} is compared with the project's production model, not with {serving.upstream}",
            hint=f"topcoat serve {serving.candidate.option}",
        )
    if serving.upstream and serving.swap != "auto":
        raise InvalidInput(
            f"what {serving.upstream} serves is its own affair: topcoat swaps the models that it serves itself",
            hint=f"topcoat serve --upstream {serving.upstream}",
        )
    if project.settings.spec.capture.results == "keep":
        require_libraries(project.settings.source.where("capture", "results"))
    own = None if serving.upstream else _own(project, serving, sink)
    digests = DialogueDigests(project.paths.dialogue_key)
    recorder = Recorder(project.paths.events, capture=project.settings.spec.capture)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        asyncio.run(_serve(project, serving, sink, recorder, digests, own))
    finally:
        figures = recorder.close()
        _say_what_became(figures, sink)
    return figures


@dataclass(frozen=True, slots=True)
class _Own:
    """What loads the project's models, and the one to begin with."""

    loader: Loader
    model: Checked


def _own(project: Project, serving: Serving, sink: Sink) -> _Own:
    row = project.model("production")
    sink.emit(Note(f"comparing the files of {row.name} with what was recorded"))
    loader = Loader(project, project.day, serving.engine, serving.engine.open(sink), serving.arguments, sink)
    model = loader.check(row)
    say_calls_in_text(model, project, sink)
    return _Own(loader, model)


def exchange_events(
    exchange: Exchange,
    sessions: Sessions,
    digests: DialogueDigests,
    *,
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
        "model": exchange.model,
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


async def _serve(
    project: Project, serving: Serving, sink: Sink, recorder: Recorder, digests: DialogueDigests, own: _Own | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tried = Tried()
    async with contextlib.AsyncExitStack() as stack:
        door = Door(longest_wait=serving.longest_wait)
        swapper = None
        if own is None:
            door.open(_other(serving.upstream))
        else:
            sink.emit(Note(f"loading {own.model.row.name}"))
            entering = stack.enter_async_context(swapping(own.loader, own.model, door, serving.swap, sink))
            swapper = await _unless_stopped(stop, entering)
            if swapper is None:
                return
            if serving.candidate is not None:
                both = trying(own.loader, swapper.served, serving.candidate, serving.swap, sink)
                found = await _unless_stopped(stop, stack.enter_async_context(both))
                if found is None:
                    return
                tried = found
        notes = Notes(lambda note: sink.emit(Note(note)))
        record = _recording(project, serving, recorder, digests, tried)
        access = Access(serving.host, serving.token)
        front = Front(door, access, record, recorder.figures, notes, tried=tried)
        port = await stack.enter_async_context(listening(front, serving.port))
        host = f"[{serving.host}]" if ":" in serving.host else serving.host
        said = f"serving {door.model or serving.upstream} at http://{host}:{port}/v1; Ctrl-C ends it"
        sink.emit(Note(said))
        if serving.candidate is not None:
            sink.emit(Note(str(serving.candidate)))
            for one in awaited(project.lineage):
                sink.emit(Note(f"{one.candidate.model} awaits its canary, which needs topcoat serve without an option"))
        following = [asyncio.create_task(swapper.follow())] if swapper else []
        if own is not None and swapper is not None and serving.candidate is None:
            canaries = trying_awaited(own.loader, swapper, door, tried, serving.swap, sink)
            following.append(await stack.enter_async_context(canaries))
        await _until(stop, following, recorder, sink)


def _recording(
    project: Project, serving: Serving, recorder: Recorder, digests: DialogueDigests, tried: Tried
) -> Callable[[Exchange], Future[None]]:
    """What the front calls with each exchange."""
    repository = serving.repository or project.paths.root
    capture = project.settings.spec.capture

    def record(exchange: Exchange) -> Future[None]:
        session = tried.recorded(exchange)

        def events(sessions: Sessions) -> list[Event]:
            made = exchange_events(
                exchange,
                sessions,
                digests,
                repository=repository,
                success=capture.success,
                results=capture.results,
            )
            if session is not None and made:
                session.recorded, session.first = made[0].session, session.first or made[0].time
            return made

        return recorder.put(events, len(exchange.request) + len(exchange.response))

    return record


def _other(url: str) -> Upstream:
    """The server behind --upstream."""
    key = os.environ.get(KEY_VARIABLE, "")
    return Upstream(_root(url), {"Authorization": f"Bearer {key}"} if key else {})


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """The result of `work`; None if the user stopped it."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
        return None
    finally:
        stopped.cancel()


async def _until(stop: asyncio.Event, following: Sequence[asyncio.Task[None]], recorder: Recorder, sink: Sink) -> None:
    """Wait for the end, and report if recording fails. Raises what the tasks that follow production raise."""
    stopped = asyncio.create_task(stop.wait())
    failing = False
    gone = 0
    try:
        while not stopped.done():
            ends = {stopped, *following}
            await asyncio.wait(ends, timeout=_SHOWN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in following:
                if task.done() and not stopped.done():
                    task.result()
            figures = recorder.figures()
            now = bool(figures.waiting and figures.problem)
            if now and not failing:
                said = f"recording fails: {figures.problem}; {figures.waiting} exchanges wait"
                sink.emit(Note(said, warning=True))
            failing = now
            if figures.gone > gone:
                sink.emit(Note(figures.problem, warning=True))
            gone = figures.gone
    finally:
        stopped.cancel()
        for task in following:
            task.cancel()
        if following:
            await asyncio.wait(following)  # a server that was being loaded has ended then


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
