"""Loads one model of the lineage in a server of its own, after its files were compared with what was recorded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial

from topcoat.engine.beginnings import Kept
from topcoat.engine.protocol import Engine, Message, Tokenizer, Tools
from topcoat.engine.registry import EngineEntry
from topcoat.errors import InvalidInput
from topcoat.progress import Note, Sink
from topcoat.project.integrity import require_whole
from topcoat.project.project import Project
from topcoat.project.rendering import dated_tokenizer
from topcoat.store.lineage import ModelRow
from topcoat.usage.capture.served.door import TokenCounter, Upstream
from topcoat.usage.capture.served.model_server import ModelServer, model_server

__all__ = ["Checked", "Loaded", "Loader", "token_counter"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A model whose files are whole. `serves_calls`: the server takes its calls out of the text."""

    row: ModelRow
    count: TokenCounter
    serves_calls: bool


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model whose server runs, until `end` is awaited. `seconds` is how long it took to load."""

    model: Checked
    upstream: Upstream
    server: ModelServer
    seconds: float
    end: Callable[[], Awaitable[None]]

    @property
    def name(self) -> str:
        return self.model.row.name


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads models of one project with one engine. `arguments` are for the engine's server, `day` is the project's.

    `sink` gets what a server says.
    """

    project: Project
    day: date | None
    entry: EngineEntry
    engine: Engine
    arguments: Sequence[str]
    sink: Sink

    def check(self, row: ModelRow) -> Checked:
        """Read all files of a model. Raises `StorageFault` if they have changed, or what `project_tokenizer` raises."""
        require_whole(self.engine, row)
        tokenizer = dated_tokenizer(self.project.settings, self.day, self.engine, row.path)
        return Checked(row, token_counter(tokenizer), tokenizer.serves_calls)

    async def check_meanwhile(self, row: ModelRow) -> Checked:
        """What `check` gives, while the loop goes on.

        Nothing waits for the thread if the caller is cancelled, not even the end of this process: a model may have many
        gigabytes.
        """
        checked: Future[Checked] = Future()

        def check() -> None:
            checked.set_running_or_notify_cancel()
            try:
                checked.set_result(self.check(row))
            except BaseException as error:  # raised again where it is awaited
                checked.set_exception(error)

        threading.Thread(target=check, daemon=True).start()
        return await asyncio.wrap_future(checked)

    async def load(self, model: Checked) -> Loaded:
        """Start a server with the model, and wait until it answers. Raises what `model_server` raises."""
        started = time.monotonic()
        template = self.project.settings.spec.project.template
        most = self.project.settings.spec.serve.kept_mb * 1_000_000
        kept = Kept(self.project.paths.beginnings, most, model.row.digest) if most else None
        serving = model_server(
            self.entry, model.row.path, self.arguments, template, kept=kept, said=partial(self._say, model.row.name)
        )
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving)
            upstream = Upstream(server.url, server.headers, model.row.name, model.count)
            return Loaded(model, upstream, server, time.monotonic() - started, stack.pop_all().aclose)

    def _say(self, name: str, text: str) -> None:
        self.sink.emit(Note(f"{name}: {text}"))


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
