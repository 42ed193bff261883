"""Follows the production model: after a promotion or a rollback, the next model takes the place of the one served.

Where both fit into memory, the next one is loaded beside the one that answers, and takes over when it can answer.
Where they don't, requests wait at the door while the old one ends its answers and the next one is loaded. In both ways
a request is answered by one model alone, and a model that can't be loaded changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from topcoat.engine.protocol import MemoryUse
from topcoat.errors import TopcoatError
from topcoat.progress import Note, Sink
from topcoat.project.project import Project
from topcoat.quantity import counted
from topcoat.store.lineage import ModelRow
from topcoat.usage.capture.served.door import Door
from topcoat.usage.capture.served.loading import Checked, Loaded, Loader

__all__ = ["Swap", "Swapper", "lack_beside", "lack_of_room", "say_calls_in_text", "state_of", "swapping"]

Swap = Literal["auto", "beside", "wait", "never"]
"""How the next model is loaded: "beside" the old one, while requests "wait", as memory allows ("auto"), or "never"."""

_LOOK_SECONDS = 1.0
_LONGEST_ANSWER = 900.0
"""Seconds for which a model goes on with its answers after another one took over, or was to take over."""
_SPARE = 0.1
"""The share of a model's memory that must be free beyond it. Prompts differ, and so does what they take."""


def lack_of_room(use: MemoryUse | None, before: int, after: int) -> str:
    """Why a model doesn't fit beside the one that is served, in words; "" if it does.

    `use` is the memory of the served model's process. `before` and `after` are the bytes of the two models' files: the
    next model takes as much more memory as its files are larger.
    """
    if use is None or not before:
        return "the free memory isn't known"
    needed = use.taken * after / before
    if needed * (1 + _SPARE) <= use.free:
        return ""
    return f"it takes about {needed / 1e9:.1f} GB, and {use.free / 1e9:.1f} GB are free"


async def lack_beside(served: Loaded, row: ModelRow) -> str:
    """Why the model `row` doesn't fit beside the one that is served, in words; "" if it does."""
    return lack_of_room(await served.server.memory(), _size(served.model.row.path), _size(row.path))


@asynccontextmanager
async def swapping(loader: Loader, first: Checked, door: Door, swap: Swap, sink: Sink) -> AsyncIterator[Swapper]:
    """Serve `first` at the door during the block. Afterwards no model server runs. Raises what loading raises."""
    swapper = Swapper(loader, await loader.load(first), door, swap, sink)
    try:
        yield swapper
    finally:
        await swapper.end()


class Swapper:
    """The model servers of one `topcoat serve`."""

    def __init__(self, loader: Loader, first: Loaded, door: Door, swap: Swap, sink: Sink) -> None:
        """`first` is served at `door` until production is another model."""
        self._loader = loader
        self._door = door
        self._swap = swap
        self._sink = sink
        self._leaving: set[asyncio.Task[None]] = set()
        self._tried: object = None  # what production was, and its files, when it was to be served
        self._refused: object = None  # the same of a model that couldn't be
        self._alone = False  # whether the old model was ended and the next one doesn't answer yet
        self._offered: Loaded | None = None  # a model that is loaded already, should it become production
        self._serve(first)

    @property
    def served(self) -> Loaded:
        """The model at the door, or the last one there."""
        return self._current

    def offer(self, loaded: Loaded) -> None:
        """Have a model that is loaded already take over if it becomes production, instead of loading it again."""
        self._offered = loaded

    def withdraw(self, loaded: Loaded) -> bool:
        """No longer offer a model. False if it has taken over: then its server is ended here."""
        if self._offered is not loaded:
            return False
        self._offered = None
        return True

    async def follow(self) -> None:
        """Follow production. Raises the fault of the server at the door if it ends by itself."""
        while True:
            wanted = self._wanted()
            if wanted is None:
                await self._watch()
            elif self._swap == "never":
                self._refused = state_of(wanted)
                self._say(f"{wanted.name} is the production model now: Ctrl-C, then topcoat serve, to serve it")
            else:
                await self._follow_to(wanted)

    async def end(self) -> None:
        """End all servers. `follow` must not run."""
        self._died.cancel()
        for leaving in self._leaving:
            leaving.cancel()
        await asyncio.gather(self._current.end(), *self._leaving, return_exceptions=True)

    def _wanted(self) -> ModelRow | None:
        """The production model, if it is neither the served one nor one that couldn't be served as it is."""
        row = self._production()
        if row is None or row.name == self._current.name:
            return None
        return None if state_of(row) == self._refused else row

    def _production(self) -> ModelRow | None:
        """The production model; None if the lineage can't be read now."""
        lineage = self._loader.project.lineage
        with contextlib.suppress(TopcoatError):
            name = lineage.production()
            return lineage.model(name) if name else None
        return None

    async def _watch(self, *tasks: asyncio.Task[None]) -> None:
        """Wait for some time, or until one of `tasks` is done. Raises the fault of the server at the door."""
        died = () if self._alone else (self._died,)
        await asyncio.wait({*tasks, *died}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if self._died.done() and not self._alone:
            raise self._died.result()

    async def _follow_to(self, wanted: ModelRow) -> None:
        """Serve `wanted`, unless production changes again before it answers."""
        swap = asyncio.create_task(self._swap_to(wanted))
        try:
            while not swap.done():
                await self._watch(swap)
                now = self._production()
                if now is not None and now.name != wanted.name and not self._alone:
                    break
        finally:
            swap.cancel()  # nothing, if it is done
            await asyncio.wait({swap})
        if not swap.cancelled():
            swap.result()

    async def _swap_to(self, row: ModelRow) -> None:
        self._tried = state_of(row)
        offered = self._offered
        if offered is not None and offered.model.row == row and offered.server.process.returncode is None:
            self._offered = None
            self._take_over(offered)
            return
        try:
            model = await self._loader.check_meanwhile(row)
        except TopcoatError as error:
            self._refuse(row, error)
            return
        if lack := await self._lack_of_room(row):
            await self._swap_alone(model, lack)
        else:
            await self._swap_beside(model)

    async def _lack_of_room(self, row: ModelRow) -> str:
        """Why a model isn't loaded beside the served one; "" if it is. Models on their way out end before a no."""
        if self._swap == "beside":
            return ""
        if self._swap == "wait":
            return "--swap wait"
        lack = await lack_beside(self._current, row)
        if lack and self._leaving:
            await asyncio.wait(self._leaving)
            lack = await lack_beside(self._current, row)
        return lack

    async def _swap_beside(self, model: Checked) -> None:
        old = self._current
        self._say(f"{model.row.name} is the production model now: loading it beside {old.name}")
        try:
            new = await self._loader.load(model)
        except TopcoatError as error:
            self._refuse(model.row, error)
            return
        self._take_over(new)

    def _take_over(self, new: Loaded) -> None:
        """Serve a model that is loaded; the old one ends after its answers."""
        old = self._current
        self._serve(new)
        leaving = asyncio.create_task(self._leave(old))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        self._say_served(old)

    async def _swap_alone(self, model: Checked, lack: str) -> None:
        """Load a model when the old one has ended. If that fails, load the old one again. Raises if that fails, too."""
        old = self._current
        said = f"{model.row.name} is the production model now. It isn't loaded beside {old.name} ({lack}):"
        self._say(f"{said} requests wait until it answers")
        self._door.close(old.seconds)
        try:
            await self._emptied(old)
        except asyncio.CancelledError:
            self._door.open(old.upstream)
            raise
        self._alone = True
        self._died.cancel()
        await old.end()
        try:
            new = await self._loader.load(model)
        except TopcoatError as error:
            self._refuse(model.row, error)
            new = await self._loader.load(old.model)
        self._serve(new)
        self._say_served(old)

    def _serve(self, loaded: Loaded) -> None:
        self._current = loaded
        self._died = asyncio.create_task(loaded.server.died())
        self._alone = False
        self._door.open(loaded.upstream)

    async def _leave(self, old: Loaded) -> None:
        try:
            await self._emptied(old)
        finally:
            await old.end()

    async def _emptied(self, old: Loaded) -> None:
        """Wait until the answers of a model are over that is no longer at the door, or its server is, or for long."""
        over = {asyncio.create_task(self._door.empty(old.upstream)), asyncio.create_task(old.server.process.wait())}
        try:
            await asyncio.wait(over, timeout=_LONGEST_ANSWER, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in over:
                one.cancel()
        if cut := self._door.running(old.upstream):
            self._say(f"{old.name} ends, and {counted(cut, 'answer')} of it with it", warning=True)

    def _refuse(self, row: ModelRow, error: TopcoatError) -> None:
        """Say once why the production model isn't served. It is tried again when its files have changed."""
        self._refused = self._tried
        hint = error.hint or "topcoat rollback"
        said = f"{row.name} is the production model now, but can't be served, so {self._current.name} stays"
        self._say(f"{said}: {error.message}\n  hint: {hint}", warning=True)

    def _say_served(self, old: Loaded) -> None:
        new, door = self._current, self._door
        waited = f"; {counted(door.waited, 'request')} waited" if door.waited else ""
        refused = f", {door.refused} of them too long" if door.refused else ""
        self._say(f"serving {new.name}{waited}{refused}")
        if old.model.serves_calls and not new.model.serves_calls:
            say_calls_in_text(new.model, self._loader.project, self._sink)
        door.waited = door.refused = 0

    def _say(self, text: str, *, warning: bool = False) -> None:
        self._sink.emit(Note(text, warning=warning))


def say_calls_in_text(model: Checked, project: Project, sink: Sink) -> None:
    """Say that the server doesn't take a model's calls out of its text, where agents would expect it to."""
    if project.agent.calls == "native" and not model.serves_calls:
        said = f"clients find the calls of {model.row.name} in its text: mlx-lm's server doesn't know its form"
        sink.emit(Note(said))


def state_of(row: ModelRow) -> tuple[object, ...]:
    """A model's name, and what tells whether its files are others than before."""
    return row.name, *((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in _files(row.path))


def _size(folder: Path) -> int:
    """The bytes of a folder's files."""
    return sum(stat.st_size for _, stat in _files(folder))


def _files(folder: Path) -> list[tuple[str, os.stat_result]]:
    """The files of a folder by name; fewer while another process replaces it."""
    found = []
    for path in sorted(folder.glob("*")):
        with contextlib.suppress(OSError):
            found.append((path.name, path.stat()))
    return found
