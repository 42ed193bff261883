"""Answers from several servers that have the same model.

Each server takes the next question when it has a free place, so a faster one answers more. One that fails is left out,
and its questions are asked elsewhere. A question stays unanswered if every server that is left leaves it so: what a
case scores doesn't depend on the server that happened to take it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx2

from topcoat.errors import EndpointFault, InvalidInput
from topcoat.progress import Note, Sink, Task, task
from topcoat.quantity import counted
from topcoat.store.records import AskedServer, Completion
from topcoat.suites.endpoint import CONCURRENCY, TIMEOUT, Endpoint, reasons
from topcoat.suites.served_models import other_models
from topcoat.suites.source import Question, Reply, Unanswered

__all__ = ["Endpoints", "endpoints_of"]

_IN_A_ROW = 3
"""As many cases one after another that others answer and a server doesn't, and it is left out."""


def endpoints_of(
    urls: Sequence[str],
    models: Sequence[str],
    sink: Sink,
    *,
    key: str = "",
    concurrency: int = CONCURRENCY,
    timeout: float = TIMEOUT,
    max_errors: int = 0,
    template: Mapping[str, object] | None = None,
) -> Endpoint | Endpoints:
    """The servers at `urls`, as one source of answers. `models` has one name for all, or a name for each.

    The options are those of each `Endpoint`. A URL that is given twice counts once, with a warning.
    Raises InvalidInput if there is not one name for all or each, for one server with two names, and as Endpoint does.
    """
    if len(models) not in (1, len(urls)):
        raise InvalidInput(
            f"{counted(len(urls), 'server')} and {counted(len(models), 'model name')}: it takes one name for all "
            "servers, or one for each, in the same order",
            hint=" ".join(f"--endpoint {url} --model NAME" for url in urls),
        )
    found: dict[str, Endpoint] = {}
    for url, model in zip(urls, [*models] * (len(urls) if len(models) == 1 else 1), strict=True):
        one = Endpoint(
            url, model, key=key, concurrency=concurrency, timeout=timeout, max_errors=max_errors, template=template
        )
        known = found.setdefault(one.address, one)
        if known.model != model:
            raise InvalidInput(
                f"{one.address} is given twice, with two models: their answers would be mixed",
                hint=f"--endpoint {one.address} --model {model}",
            )
        if known is not one:
            sink.emit(Note(f"{one.address} is given twice and counts once", warning=True))
    endpoints = [*found.values()]
    return endpoints[0] if len(endpoints) == 1 else Endpoints(endpoints, max_errors=max_errors)


@dataclass(slots=True, eq=False)
class _Server:
    """One server: why it is left out ("" if it isn't), and the questions (by place) that it is answering.

    Since its last answer, it left the questions with ids in `doubted` unanswered; others answered `blamed` of these.
    """

    endpoint: Endpoint
    left_out: str = ""
    open: set[int] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    blamed: int = 0

    @property
    def free(self) -> int:
        return self.endpoint.concurrency - len(self.open)


class Endpoints:
    """A source of answers: several servers. Each has as many requests open at a time as its `Endpoint` says.

    A server is left out, with a warning, if it can't be reached, refuses every question (its key, the model's name),
    leaves three cases in a row unanswered that others answer, or has another model than the others. After more
    than `max_errors` unanswered questions, the rest isn't asked.

    A question with the id of an earlier one goes to the server that answered that, so an episode stays where its
    beginning is cached.
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, max_errors: int = 0) -> None:
        self._servers = [_Server(endpoint) for endpoint in endpoints]
        self._max_errors = max_errors
        self._homes: dict[str, _Server] = {}
        self._compared = False

    @property
    def name(self) -> str:
        """The model and the servers, without a password in a URL."""
        models = dict.fromkeys(server.endpoint.model for server in self._servers)
        hosts = (server.endpoint.url.netloc.decode() for server in self._servers)
        return f"{', '.join(models)} at {', '.join(hosts)}"

    @property
    def asked(self) -> list[AskedServer]:
        """What each server has answered so far, and whether it was left out."""
        return [
            record.model_copy(update={"left_out": server.left_out})
            for server in self._servers
            for record in server.endpoint.asked
        ]

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        """One reply a question, in order.

        Raises EndpointFault if more than `max_errors` are unanswered, and InvalidInput if the servers have different
        models, before anything is asked.
        """
        return asyncio.run(self._ask_all(questions, sink))

    async def _ask_all(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        async with AsyncExitStack() as stack:
            clients = {one: await stack.enter_async_context(one.endpoint.client()) for one in self._servers}
            if not self._compared:
                await self._compare(clients, sink)
            asking = _Asking(questions, clients, self._homes, self._max_errors, sink)
            with task(sink, "answers", total=len(questions), unit="case") as progress:
                try:
                    return await asking.replies_of_all(progress)
                finally:
                    await asking.end()

    async def _compare(self, clients: Mapping[_Server, httpx2.AsyncClient], sink: Sink) -> None:
        """Leave out servers that have another model."""
        found = await other_models([(one.endpoint, client) for one, client in clients.items()], sink)
        for server in clients:
            if reason := found.get(server.endpoint.address):
                server.left_out = reason
                sink.emit(Note(f"{server.endpoint.address} is left out: {reason}", warning=True))
        self._compared = True


class _Asking:
    """Questions that are being asked: which wait, which are open and where, and what came of the others."""

    def __init__(
        self,
        questions: Sequence[Question],
        clients: Mapping[_Server, httpx2.AsyncClient],
        homes: dict[str, _Server],
        max_errors: int,
        sink: Sink,
    ) -> None:
        self.questions, self.clients, self.homes = questions, clients, homes
        self.max_errors, self.sink = max_errors, sink
        self.replies: dict[int, Reply] = {}
        self.failed: dict[str, str] = {}
        self.waiting = deque(range(len(questions)))
        self.refused: defaultdict[int, dict[_Server, str]] = defaultdict(dict)
        self.requests: dict[asyncio.Task[Reply], tuple[_Server, int]] = {}
        self.cancelled: list[asyncio.Task[Reply]] = []

    @property
    def left(self) -> list[_Server]:
        """The servers that aren't left out."""
        return [server for server in self.clients if not server.left_out]

    async def replies_of_all(self, progress: Task) -> list[Reply]:
        """One reply a question, in order. Raises EndpointFault if too many are unanswered."""
        self._fill_places()
        while self.requests:
            done, _ = await asyncio.wait(self.requests, return_when=asyncio.FIRST_COMPLETED)
            for request in done:
                self._take(*self.requests.pop(request), request.result())
            self._fill_places()
            progress.advance(len(self.replies), f"{len(self.failed)} without an answer" if self.failed else "")
        return [self.replies[index] for index in range(len(self.questions))]

    async def end(self) -> None:
        """Drop what is still open."""
        for request in self.requests:
            request.cancel()
        await asyncio.gather(*self.requests, *self.cancelled, return_exceptions=True)

    def _fill_places(self) -> None:
        """Ask what waits, wherever a place is free. What no server is left for stays unanswered."""
        kept = []
        while self.waiting and (not (left := self.left) or any(server.free for server in left)):
            index = self.waiting.popleft()
            able = [server for server in left if server not in self.refused[index]]
            if not able:
                self._give_up(index)
            elif server := self._place(index, able):
                server.open.add(index)
                request = server.endpoint.reply(self.clients[server], self.questions[index])
                self.requests[asyncio.ensure_future(request)] = server, index
            else:
                kept.append(index)
        self.waiting.extendleft(reversed(kept))

    def _place(self, index: int, able: Sequence[_Server]) -> _Server | None:
        """The server with the most free places, of those that may be asked. An episode waits for its own.

        A server in doubt gets only what others left unanswered, until they have answered what it left, or haven't:
        one that fails fast would otherwise be asked everything.
        """
        if not self.refused[index] and len(self.left) > 1:
            trusted = [server for server in able if len(server.doubted) < _IN_A_ROW]
        else:
            trusted = [*able]
        home = self.homes.get(self.questions[index].id)
        best = home if home in able else max(trusted, key=_free, default=None)
        return best if best in trusted and best.free else None

    def _take(self, server: _Server, index: int, reply: Reply) -> None:
        name = self.questions[index].id
        server.open.discard(index)
        if isinstance(reply, Completion):
            server.doubted.clear()
            server.blamed = 0
            self.homes[name] = server
            self.replies[index] = reply
            self._blame(index)
        else:
            self.refused[index][server] = reply.reason
            server.doubted.add(name)
            self.waiting.appendleft(index)
            if reply.hopeless:
                self._leave_out(server, reply.reason)

    def _blame(self, index: int) -> None:
        """Leave out servers that fail again and again where another answers, as it did here."""
        name = self.questions[index].id
        for server, reason in self.refused[index].items():
            server.blamed += name in server.doubted
            if server.blamed >= _IN_A_ROW and len(self.left) > 1:
                self._leave_out(server, f"{_IN_A_ROW} cases in a row that others answer, the last one: {reason}")

    def _leave_out(self, server: _Server, reason: str) -> None:
        """Ask the server no more. What it hasn't answered waits for others."""
        if server.left_out:
            return
        server.left_out = reason
        dropped = [request for request, (one, _) in self.requests.items() if one is server and not request.done()]
        for request in dropped:
            _, index = self.requests.pop(request)
            request.cancel()
            self.waiting.appendleft(index)
        self.cancelled += dropped
        server.open.clear()
        others = "its cases are asked elsewhere" if self.left else "no server is left"
        self.sink.emit(Note(f"{server.endpoint.address} is left out, {others}: {reason}", warning=True))

    def _give_up(self, index: int) -> None:
        """Leave a question unanswered: nobody that is left has an answer to it."""
        name = self.questions[index].id
        said = {server.endpoint.address: reason for server, reason in self.refused[index].items()}
        reason = next(iter(said.values())) if len({*said.values()}) == 1 else reasons(said)
        self.replies[index] = Unanswered(reason or "no server is left")
        self.failed[name] = reason or "no server is left"
        for server in self.clients:
            server.doubted.discard(name)
        if len(self.failed) > self.max_errors:
            raise self._void()

    def _void(self) -> EndpointFault:
        limit = f"more than max_errors = {self.max_errors}"
        out = {server.endpoint.address: server.left_out for server in self.clients if server.left_out}
        first = next(iter(self.clients)).endpoint
        if not self.left:
            missing = sum(not isinstance(reply, Completion) for reply in self.replies.values()) + len(self.waiting)
            return EndpointFault(
                f"the evaluation is void: no server is left, and {missing} of {counted(len(self.questions), 'case')} "
                f"got no answer, {limit} ({reasons(out)})",
                hint=first.hint(out.values()),
            )
        beside = f"; left out: {reasons(out)}" if out else ""
        return EndpointFault(
            f"the evaluation is void: {counted(len(self.failed), 'case')} got no answer, {limit} "
            f"({reasons(self.failed)}{beside})",
            hint=self.left[0].endpoint.hint(self.failed.values()),
        )


def _free(server: _Server) -> int:
    return server.free
