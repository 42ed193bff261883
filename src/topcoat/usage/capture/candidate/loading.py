"""Loads a candidate beside the production model, for as long as it is tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from topcoat.errors import InvalidInput, Refused
from topcoat.progress import Note, Sink
from topcoat.usage.capture.loading import Loaded, Loader
from topcoat.usage.capture.swapping import Swap, lack_beside

__all__ = ["candidate_loaded"]


@asynccontextmanager
async def candidate_loaded(
    loader: Loader, name: str, served: Loaded, option: str, swap: Swap, sink: Sink
) -> AsyncIterator[Loaded]:
    """The model `name` in a server of its own, beside the `served` one, during the block. `option` asked for it.

    Raises `InvalidInput` if it is no model of the project or the served one itself, `Refused` if the free memory
    doesn't suffice and `swap` isn't "beside", and what loading raises.
    """
    row = loader.project.model(name)
    if row.name == served.name:
        raise InvalidInput(
            f"{row.name} is the production model: there is nothing to compare", hint="topcoat status lists the models"
        )
    if swap != "beside" and (lack := await lack_beside(served, row)):
        raise Refused(
            f"{row.name} isn't loaded beside {served.name}: {lack}",
            hint=f"topcoat serve --swap beside {option} {row.name}, if it fits all the same",
        )
    sink.emit(Note(f"loading {row.name} beside {served.name}"))
    loaded = await loader.load(await loader.check_meanwhile(row))
    try:
        yield loaded
    finally:
        await loaded.end()
