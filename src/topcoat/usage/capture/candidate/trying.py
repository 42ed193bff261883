"""Loads a candidate beside the production model, and tries it there: unseen, or with a share of the sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from topcoat.errors import InvalidInput, Refused
from topcoat.progress import Note, Sink
from topcoat.quantity import percent
from topcoat.store.lineage import ModelRow
from topcoat.usage.capture.candidate.arms import Session
from topcoat.usage.capture.candidate.canary import Canary, canarying
from topcoat.usage.capture.candidate.shadow import Shadow, shadowing
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.served.loading import Loaded, Loader
from topcoat.usage.capture.served.swapping import Swap, lack_beside

__all__ = ["Tried", "Wish", "load_beside", "trying"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A candidate, and how it is to be tried.

    As a "shadow" it also answers a `share` (0..1) of the requests. As a "canary" it gets a share of the new sessions,
    until it had `sessions` of them or is worse.
    """

    way: Literal["shadow", "canary"]
    name: str
    share: float
    sessions: int

    @property
    def option(self) -> str:
        return f"--{self.way} {self.name}"

    def __str__(self) -> str:
        what = "requests unseen" if self.way == "shadow" else "new sessions"
        return f"{self.name} answers {percent(self.share)} of the {what}"


@dataclass(slots=True)
class Tried:
    """The candidate that is tried now. At most one of the two is set."""

    shadow: Shadow | None = None
    canary: Canary | None = None

    def recorded(self, exchange: Exchange) -> Session | None:
        """Take an exchange that is over. Returns its session in a canary's trial."""
        if self.shadow is not None:
            self.shadow.offer(exchange)
        return self.canary.recorded(exchange) if self.canary is not None else None


@asynccontextmanager
async def trying(loader: Loader, served: Loaded, wish: Wish, swap: Swap, sink: Sink) -> AsyncIterator[Tried]:
    """Try a candidate beside the `served` model during the block.

    Raises `InvalidInput` if it is no model of the project or the served one itself, `Refused` if the free memory
    doesn't suffice and `swap` isn't "beside", and what loading raises.
    """
    project = loader.project
    async with _loaded(loader, served, wish, swap, sink) as candidate:
        if wish.way == "shadow":
            async with shadowing(candidate, wish.share, project.agent, project.paths.shadow, sink) as shadow:
                yield Tried(shadow=shadow)
        else:
            async with canarying(candidate, served.name, wish.share, wish.sessions, project, sink) as canary:
                yield Tried(canary=canary)


@asynccontextmanager
async def _loaded(loader: Loader, served: Loaded, wish: Wish, swap: Swap, sink: Sink) -> AsyncIterator[Loaded]:
    row = loader.project.model(wish.name)
    if row.name == served.name:
        raise InvalidInput(
            f"{row.name} is the production model: there is nothing to compare", hint="topcoat status lists the models"
        )
    loaded = await load_beside(loader, served, row, swap, sink, wish.option)
    try:
        yield loaded
    finally:
        await loaded.end()


async def load_beside(
    loader: Loader, served: Loaded, row: ModelRow, swap: Swap, sink: Sink, option: str = ""
) -> Loaded:
    """Load a candidate beside the `served` model. `option` is the one that asked for it.

    Raises `Refused` if the free memory doesn't suffice and `swap` isn't "beside", and what loading raises.
    """
    if swap != "beside" and (lack := await lack_beside(served, row)):
        raise Refused(
            f"{row.name} isn't loaded beside {served.name}: {lack}",
            hint=" ".join(filter(None, ["topcoat serve --swap beside", option])),
        )
    sink.emit(Note(f"loading {row.name} beside {served.name}"))
    return await loader.load(await loader.check_meanwhile(row))
