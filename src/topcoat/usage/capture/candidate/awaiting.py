"""Tries the candidates of phases that await their canary, and promotes or discards them when it is over.

The lineage says which phases do, and `topcoat serve` looks every second. A decision is a line of the canary's file
before it is a fact of the lineage. So a server that ends in between finds it there the next time, and a trial that was
ended early goes on with what it had counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from topcoat.errors import Held, TopcoatError
from topcoat.phases.canaries import Awaited, awaited, end_canary, how_it_ended
from topcoat.phases.run import write_report
from topcoat.progress import Note, Silent, Sink
from topcoat.project.session import open_session
from topcoat.quantity import percent
from topcoat.store.lineage import ModelRow
from topcoat.store.lock import project_lock
from topcoat.usage.capture.candidate.canary import canarying
from topcoat.usage.capture.candidate.looks import CanaryVerdict, carried, read_looks, verdict_of
from topcoat.usage.capture.candidate.records import CanaryLook
from topcoat.usage.capture.candidate.trial import Trial
from topcoat.usage.capture.candidate.trying import Tried, load_beside
from topcoat.usage.capture.served.door import Door
from topcoat.usage.capture.served.loading import Loaded, Loader
from topcoat.usage.capture.served.swapping import Swap, Swapper, state_of

__all__ = ["Canaries", "trying_awaited"]

_LOOK_SECONDS = 1.0
_TAKEN_SECONDS = 30.0
"""How long a promoted candidate waits to be taken to the door, at most."""
_LONGEST_ANSWER = 900.0
"""Seconds for which a candidate goes on with its answers after its canary is over."""


@asynccontextmanager
async def trying_awaited(
    loader: Loader, swapper: Swapper, door: Door, tried: Tried, swap: Swap, sink: Sink
) -> AsyncIterator[asyncio.Task[None]]:
    """Try candidates beside the model at the door during the block, as they come. Gives the task that does it."""
    work = asyncio.create_task(Canaries(loader, swapper, door, tried, swap, sink).follow())
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.wait({work})


class Canaries:
    """The canaries of one `topcoat serve`, one after the other."""

    def __init__(self, loader: Loader, swapper: Swapper, door: Door, tried: Tried, swap: Swap, sink: Sink) -> None:
        """`tried` is where the front looks for the trial that goes on."""
        self._loader = loader
        self._swapper = swapper
        self._door = door
        self._tried = tried
        self._swap: Swap = swap
        self._sink = sink
        self._refused: dict[str, object] = {}  # candidates that couldn't be tried, and their files then
        self._told: set[str] = set()

    async def follow(self) -> None:
        """Try every candidate that awaits its canary beside the served model, oldest first."""
        while True:
            found = self._next()
            if found is None:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            try:
                await self._alone(*found)
            except TopcoatError as error:  # serving goes on
                self._refuse(found[1], error)

    def _next(self) -> tuple[Awaited, ModelRow] | None:
        lineage = self._loader.project.lineage
        with contextlib.suppress(TopcoatError):  # the lineage can't be read now
            for one in awaited(lineage):
                row = lineage.require_model(one.candidate.model)
                if one.obstacle:
                    self._tell(f"{one.phase.name} is {one}")
                elif self._swapper.served.name == one.phase.base and self._refused.get(row.name) != state_of(row):
                    return one, row
        return None

    async def _alone(self, one: Awaited, row: ModelRow) -> None:
        """Bring a candidate's canary to an end, unless another `topcoat serve` of the project tries it now.

        Two would look at it twice as often, each at sessions of its own, and so err twice as often.
        """
        with contextlib.ExitStack() as stack:
            try:
                lock = project_lock(self._loader.project.paths.canary_lock, f"serve, which tries {row.name}")
                stack.enter_context(lock)
            except Held as held:
                self._tell(f"{row.name} isn't tried here: {held.message}")
                await asyncio.sleep(_LOOK_SECONDS)
                return
            await self._bring_to_an_end(one, row)

    async def _bring_to_an_end(self, one: Awaited, row: ModelRow) -> None:
        """Try a candidate, and promote or discard it, if the trial isn't cut short."""
        path = self._loader.project.paths.canary
        looks = await asyncio.to_thread(read_looks, path, one.phase.name, row.name)
        if (verdict := verdict_of(looks, one.candidate.undecided)) is not None:
            await self._decide(one, row, verdict)  # an earlier server ended before it could
            return
        try:
            loaded = await load_beside(self._loader, self._swapper.served, row, self._swap, self._sink)
        except TopcoatError as error:
            self._refuse(row, error)
            return
        self._swapper.offer(loaded)
        try:
            verdict = await self._try(one, row, loaded, looks)
            if verdict is not None:
                await self._decide(one, row, verdict)
            await self._until_taken(loaded)
            await self._let_go(loaded)
        finally:
            if self._swapper.withdraw(loaded):
                await loaded.end()

    async def _try(self, one: Awaited, row: ModelRow, loaded: Loaded, looks: list[CanaryLook]) -> CanaryVerdict | None:
        """Give the candidate sessions until its canary is over. None if it was cut short."""
        candidate, base = one.candidate, one.phase.base
        before = carried(looks, base, len(Trial(candidate.sessions).looks))
        project = self._loader.project
        async with canarying(
            loaded, base, candidate.share, candidate.sessions, project, self._sink, phase=one.phase.name, before=before
        ) as canary:
            self._tried.canary = canary
            had = f"; it had {before.candidate.sessions} before" if before else ""
            self._say(f"{row.name} answers {percent(candidate.share)} of the new sessions, for {one.phase.name}{had}")
            try:
                while not canary.ended.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await canary.ended.wait()
                    if why := self._cut_short(one):
                        await canary.end(why)
            finally:
                self._tried.canary = None
        if canary.looks and canary.looks[-1].decision == "ended" and not self._cut_short(one):
            self._refused[row.name] = state_of(row)  # its server ended by itself
        return verdict_of(canary.looks, candidate.undecided)

    def _cut_short(self, one: Awaited) -> str:
        """Why a trial can't go on, in words; "" if it can."""
        lineage = self._loader.project.lineage
        with contextlib.suppress(TopcoatError):
            if ended := how_it_ended(lineage, one):
                return ended
            if (production := lineage.production()) != one.phase.base:
                return f"{production} is the production model now"
        return ""

    async def _decide(self, one: Awaited, row: ModelRow, verdict: CanaryVerdict) -> None:
        """Make a verdict a fact of the lineage, as soon as no other command holds the project.

        Whoever decides before then, by hand or for a restart, has decided.
        """
        done = "promoted" if verdict.verdict == "promote" else "discarded"
        while True:
            try:
                ended = await asyncio.to_thread(self._record, one, verdict)
            except Held as held:
                self._tell(f"{row.name} is {done} when the project is free: {held.message}")
                await asyncio.sleep(_LOOK_SECONDS)
            except TopcoatError as error:
                self._refuse(row, error)
                return
            else:
                self._say(ended or f"{row.name} is {done}: {verdict.reason}", warning=done == "discarded" and not ended)
                return

    def _record(self, one: Awaited, verdict: CanaryVerdict) -> str:
        """Write a verdict into the lineage, and the report. Gives how the canary ended if it had ended before."""
        project, name = self._loader.project, one.phase.name
        reason = f"{name} passed its gate, and {verdict.reason}" if verdict.verdict == "promote" else verdict.reason
        command = f"serve, for the canary of {name}"
        with open_session(project.paths.root, self._loader.engine, Silent(), command) as session:
            if ended := how_it_ended(session.lineage, one):
                return ended
            end_canary(session, one.phase.id, verdict.verdict, reason)
            try:
                write_report(session, name)
            except TopcoatError as error:  # the decision stands
                self._say(f"the report of {name} isn't written: {error.message}", warning=True)
        return ""

    async def _until_taken(self, loaded: Loaded) -> None:
        """If the candidate is production, wait until it stands at the door, for some time."""
        with contextlib.suppress(TimeoutError, TopcoatError):
            async with asyncio.timeout(_TAKEN_SECONDS):
                while self._loader.project.lineage.production() == loaded.name and self._swap != "never":
                    if self._swapper.served is loaded:
                        return
                    await asyncio.sleep(_LOOK_SECONDS / 20)

    async def _let_go(self, loaded: Loaded) -> None:
        """End a candidate's server after its last answer, unless it stands at the door."""
        if self._swapper.withdraw(loaded):
            try:
                async with asyncio.timeout(_LONGEST_ANSWER):
                    await self._door.empty(loaded.upstream)
            except TimeoutError:
                self._say(f"{loaded.name} ends, and the answers that it hasn't finished with it", warning=True)
            finally:
                await loaded.end()

    def _refuse(self, row: ModelRow, error: TopcoatError) -> None:
        """Say why a candidate awaits its canary in vain. It is tried again when its files have changed."""
        self._refused[row.name] = state_of(row)
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        self._say(f"{row.name} goes on awaiting its canary: {error.message}{hint}", warning=True)

    def _tell(self, text: str) -> None:
        """Say something once."""
        if text not in self._told:
            self._told.add(text)
            self._say(text)

    def _say(self, text: str, *, warning: bool = False) -> None:
        self._sink.emit(Note(text, warning=warning))
