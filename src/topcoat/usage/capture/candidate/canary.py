"""Gives a share of the new sessions to a candidate, and compares what goes wrong in them with production's sessions.

A candidate whose sessions go wrong more often, beyond chance, is sent back: new sessions go to production. A trial that
shows the opposite, or nothing, ends the same way. Nothing is promoted here: `awaiting.py` does that, for a phase that
asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from topcoat.errors import StorageFault, TopcoatError
from topcoat.progress import Note, Sink
from topcoat.project.project import Project
from topcoat.quantity import counted
from topcoat.spec.canonical import canonical_json
from topcoat.store.files import append_line
from topcoat.suites.evidence.two_samples import Group
from topcoat.usage.capture.apis.table import api_at
from topcoat.usage.capture.candidate.arms import Arms, Session
from topcoat.usage.capture.candidate.looks import Carried
from topcoat.usage.capture.candidate.outcomes import Wrong, reported_in, wrongs_in
from topcoat.usage.capture.candidate.records import CanaryGroup, CanaryLook
from topcoat.usage.capture.candidate.trial import Found, Trial, in_words
from topcoat.usage.capture.exchange import RECORDED, Exchange
from topcoat.usage.capture.served.door import Upstream
from topcoat.usage.capture.served.loading import Loaded
from topcoat.usage.log import EventLog

__all__ = ["Canary", "canarying"]

_MOST_WAITING = 1_000
_MOST_BYTES = 64_000_000
_REFUSED = 400
_SESSION: ContextVar[tuple[Canary, Session] | None] = ContextVar("session", default=None)
"""The session of the request that a task handles, and the trial that it is part of."""


@asynccontextmanager
async def canarying(
    candidate: Loaded,
    production: str,
    share: float,
    most: int,
    project: Project,
    sink: Sink,
    *,
    phase: str = "",
    before: Carried | None = None,
) -> AsyncIterator[Canary]:
    """Try `candidate` beside the model `production` during the block, and say what the sessions show.

    It gets a `share` (0..1) of the new sessions, until it had `most`. `phase` is the one whose gate asks for the trial,
    `before` what earlier parts of it counted.
    """
    trial = Trial(most, before.looks if before else 0)
    canary = Canary(
        candidate, production, Arms(share, candidate.name), trial, project, sink, phase=phase, before=before
    )
    work = asyncio.create_task(canary.work())
    try:
        yield canary
    finally:
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            work.result()
        await canary.end("topcoat serve ended")


class Canary:
    """One candidate's trial. All of it is one loop's, but for `Session.recorded`."""

    def __init__(
        self,
        candidate: Loaded,
        production: str,
        arms: Arms,
        trial: Trial,
        project: Project,
        sink: Sink,
        *,
        phase: str = "",
        before: Carried | None = None,
    ) -> None:
        """`production` is the name of the model at the door.

        `phase` is the one whose gate asks for the trial, `before` what earlier parts of it counted.
        """
        self.ended = asyncio.Event()
        """Is set when the trial is over."""
        self.looks: list[CanaryLook] = []
        """What was looked at, the last one last."""
        self._candidate = candidate
        self._production = production
        self._share = arms.share
        self._project = project
        self._sink = sink
        self._arms = arms
        self._trial = trial
        self._phase = phase
        self._before = before
        self._compared: dict[Session, None] = {}
        self._waiting: asyncio.Queue[tuple[Session, Exchange | None]] = asyncio.Queue(_MOST_WAITING)
        self._bytes = 0
        self._uncounted = 0
        self._dead = False

    @property
    def over(self) -> bool:
        """Whether new sessions go to production."""
        return self._arms.share == 0.0

    def choose(self, method: str, path: str, named: str, body: bytes) -> Upstream | None:
        """The candidate's server if it answers a request, None if production does. Call it in the request's task.

        `named` is the session that the headers name.
        """
        api = api_at(path)
        recorded = method == "POST" and (api is not None or path in RECORDED)
        session = self._arms.session(body, named, api.name if api else "chat") if recorded else None
        _SESSION.set((self, session) if session else None)
        if session is None or session.arm == "production" or self._dead:
            return None
        return self._candidate.upstream

    def answered(self, status: int) -> None:
        """Tell the status of the answer to this task's request."""
        session = self._session()
        if session is not None and status >= _REFUSED and not self._dead:
            self._add(session, {"no answer"})
            if not self.over and not self._waiting.full():
                self._waiting.put_nowait((session, None))  # so that it is looked at, though there is nothing to read

    def recorded(self, exchange: Exchange) -> Session | None:
        """Take the exchange of this task's request. Returns its session, to set what the events call it."""
        session = self._session()
        if session is None:
            return None
        self._arms.learn(session, exchange)
        if not session.compared or self.over:
            return session
        size = len(exchange.request) + len(exchange.response)
        if self._waiting.full() or self._bytes + size > _MOST_BYTES:
            self._uncounted += 1
        else:
            self._bytes += size
            self._waiting.put_nowait((session, exchange))
        return session

    def _session(self) -> Session | None:
        """The session of this task's request; None if it entered before this trial, in another one's time."""
        canary, session = _SESSION.get() or (None, None)
        return session if canary is self else None

    async def work(self) -> None:
        """Read what waits, and look, until the trial or the candidate's server is over."""
        died = asyncio.create_task(self._candidate.server.died())
        reading = asyncio.create_task(self._read_all())
        try:
            await asyncio.wait({died, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                await died
            self._dead = True
            message = died.result().message
            if self.over:
                self._say(f"{self._candidate.name} ended, and its sessions go on with production: {message}")
            await self.end(f"its server ended: {message}", warning=True)
        except Exception:
            self._arms.share = 0.0  # nobody looks any more
            self.ended.set()
            raise
        finally:
            died.cancel()
            reading.cancel()

    async def end(self, why: str, *, warning: bool = False) -> None:
        """End the trial without a decision, if it isn't over."""
        if self.over:
            return
        self._arms.share = 0.0
        mine, others = self._group("candidate"), self._group("production")
        name = self._candidate.name
        reason = (
            f"{why}; {mine.wrong} of {counted(mine.sessions, 'session')} of {name} went wrong, and"
            f" {others.wrong} of {others.sessions} of {self._production}: undecided"
        )
        await self._decide(self._line("ended", reason), f"the trial of {name} ended: {reason}", warning=warning)

    async def _read_all(self) -> None:
        while not self.over:
            session, exchange = await self._waiting.get()
            if exchange is None:
                await self._look()
                continue
            self._bytes -= len(exchange.request) + len(exchange.response)
            expected = self._candidate.name if session.arm == "candidate" else self._production
            if exchange.model != expected and not self._dead:
                await self.end(f"{exchange.model} is the production model now")
                return
            success = self._project.settings.spec.capture.success
            try:
                wrongs = await asyncio.to_thread(wrongs_in, exchange, self._project.agent, success)
            except Exception:  # a client and a model may write anything: it is counted, and said at the end
                self._uncounted += 1
                continue
            self._add(session, wrongs)
            await self._look()

    def _add(self, session: Session, wrongs: set[Wrong]) -> None:
        if session.compared and not self.over:
            session.wrongs |= wrongs
            self._compared[session] = None

    async def _look(self) -> None:
        """Look at the sessions as often as their number allows."""
        while not self.over and (look := self._trial.next) is not None:
            if self._group("candidate").sessions < look.cases:
                return
            await self._add_reported()
            mine, others = self._group("candidate"), self._group("production")
            found = self._trial.look(_counts(mine), _counts(others))
            if found.decision != "goes on":
                self._arms.share = 0.0
            reason = in_words(found, self._candidate.name, self._production, mine.kinds)
            line = self._line(found.decision, reason, found)
            await self._decide(line, self._said(found, reason), warning=found.decision == "worse")

    def _said(self, found: Found, reason: str) -> str:
        name = self._candidate.name
        if found.decision == "worse":
            return f"{name} is sent back, and new sessions go to {self._production}: {reason}"
        if found.decision == "better" and self._phase:
            return f"{name} goes wrong less often: {reason}"
        if found.decision == "better":
            after = f"new sessions go to {self._production} until `topcoat promote {name}`"
            return f"{name} goes wrong less often; {after}: {reason}"
        if found.decision == "undecided":
            return f"the trial of {name} ends undecided, and new sessions go to {self._production}: {reason}"
        return f"the trial of {name} goes on: {reason}"

    async def _add_reported(self) -> None:
        """Add what agents, people and git reported of the sessions since."""
        try:
            found = await asyncio.to_thread(self._reported, [one for one in self._compared if one.recorded])
        except TopcoatError as error:
            self._say(f"reports of sessions aren't counted: {error.message}", warning=True)
            return
        for session, wrongs in found.items():
            session.wrongs |= wrongs

    def _reported(self, sessions: list[Session]) -> Mapping[Session, set[Wrong]]:
        with EventLog(self._project.paths.events) as log:
            return {session: reported_in(log.events(session.recorded), session.first) for session in sessions}

    def _group(self, arm: Literal["candidate", "production"]) -> CanaryGroup:
        sessions = [session for session in self._compared if session.arm == arm]
        kinds = Counter(wrong for session in sessions for wrong in session.wrongs)
        before = getattr(self._before, arm) if self._before else None
        kinds.update(before.kinds if before else {})
        return CanaryGroup(
            model=self._candidate.name if arm == "candidate" else self._production,
            sessions=len(sessions) + (before.sessions if before else 0),
            wrong=sum(bool(session.wrongs) for session in sessions) + (before.wrong if before else 0),
            kinds=dict(sorted(kinds.items())),
        )

    def _line(
        self,
        decision: Literal["goes on", "worse", "better", "undecided", "ended"],
        reason: str,
        found: Found | None = None,
    ) -> CanaryLook:
        return CanaryLook(
            at=datetime.now(UTC),
            candidate=self._group("candidate"),
            production=self._group("production"),
            share=self._share,
            look=found.look.number if found else 0,
            looks=len(self._trial.looks),
            p_worse=found.p_worse if found else None,
            p_better=found.p_better if found else None,
            level=found.level if found else None,
            decision=decision,
            reason=reason,
            uncounted=self._uncounted,
            phase=self._phase,
        )

    async def _decide(self, line: CanaryLook, said: str, *, warning: bool) -> None:
        """Record a look, and say it."""
        uncounted = f"; {counted(line.uncounted, 'exchange')} not counted" if line.uncounted else ""
        self._say(said + uncounted, warning=warning)
        text = canonical_json(line.model_dump(mode="json"))
        try:
            await asyncio.to_thread(append_line, self._project.paths.canary, text)
        except StorageFault as error:
            self._say(f"the look isn't stored: {error.message}", warning=True)
        self.looks.append(line)
        if self.over:
            self.ended.set()

    def _say(self, text: str, *, warning: bool = False) -> None:
        with contextlib.suppress(BrokenPipeError):  # a look counts though nobody reads of it
            self._sink.emit(Note(text, warning=warning))


def _counts(group: CanaryGroup) -> Group:
    return Group(group.wrong, group.sessions)
