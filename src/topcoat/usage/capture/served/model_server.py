"""A model server in a process of its own. It serves one model on a loopback port, and ends with this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from topcoat.engine.beginnings import Kept
from topcoat.engine.keyed_server import MEMORY_PATH, said_in
from topcoat.engine.protocol import MemoryUse
from topcoat.engine.registry import EngineEntry
from topcoat.errors import EngineFault, InvalidInput, TopcoatError
from topcoat.usage.capture.apis.chat_answer import error_in
from topcoat.usage.capture.apis.table import CHAT_PATH

__all__ = ["ModelServer", "model_server"]

_LAST_LINES = 12
_POLL_SECONDS = 0.1
_ASK_SECONDS = 10.0
_END_SECONDS = 5.0
_WRONG_USE = 2
"""What argparse ends a process with whose options it refuses."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """The running process. Its output stays in memory, because it may contain what users said."""

    model: Path
    process: Process
    url: str
    headers: dict[str, str]
    printed: deque[str]

    async def died(self) -> TopcoatError:
        """Wait until the process ends by itself, and return the error to raise."""
        code = await self.process.wait()
        await asyncio.sleep(_POLL_SECONDS)  # its last lines
        refused = next((line.partition(": error: ")[2] for line in self.printed if ": error: " in line), "")
        if code == _WRONG_USE and refused:
            return InvalidInput(
                f"the model server refuses its options: {refused}", hint="python -m mlx_lm server -h lists them"
            )
        cause = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return self.fault(cause)

    def fault(self, cause: str) -> EngineFault:
        return EngineFault("\n  ".join([f"the model server {cause}; it printed last:", *self.printed]))

    async def memory(self) -> MemoryUse | None:
        """The memory that the process has taken, and what is free. None if that can't be known."""
        try:
            async with httpx2.AsyncClient(headers=self.headers, timeout=_ASK_SECONDS) as client:
                return MemoryUse(**(await client.get(self.url + MEMORY_PATH)).json())
        except (httpx2.HTTPError, ValueError, TypeError):
            return None


def _unheard(text: str) -> None:
    """What a server says is nothing to whoever measures it."""


@asynccontextmanager
async def model_server(
    engine: EngineEntry,
    model: Path,
    arguments: Sequence[str],
    template: Mapping[str, object],
    *,
    kept: Kept | None = None,
    said: Callable[[str], None] = _unheard,
) -> AsyncIterator[ModelServer]:
    """Serve `model` with the engine's server and `arguments` during the block, and `template` as its options.

    The block begins when the server has given a first token: it may listen long before its model is loaded. `kept` says
    where it keeps the beginnings of prompts, if it does. `said` is told what it says to the user.

    Raises `InvalidInput` for arguments that the server refuses, `EngineFault` if it ends by itself or can't answer.
    """
    port = _free_port()
    serving = engine.server(model, port, arguments, template, kept)
    process = await asyncio.create_subprocess_exec(
        *serving.command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, **serving.environment},
        start_new_session=True,  # Ctrl-C stops this process only; the server ends after the last answer
    )
    server = ModelServer(model, process, f"http://127.0.0.1:{port}", dict(serving.headers), deque(maxlen=_LAST_LINES))
    reading = asyncio.create_task(_read(server, said))
    try:
        await _ready(server)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_END_SECONDS):  # Python 3.11's wait_for can lose a cancellation
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        reading.cancel()


async def _ready(server: ModelServer) -> None:
    died, answered = asyncio.create_task(server.died()), asyncio.create_task(_answered(server))
    try:
        await asyncio.wait({died, answered}, return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            raise died.result()
        if said := answered.result():
            await asyncio.sleep(_POLL_SECONDS)  # its last lines
            raise server.fault(f"can't answer with {server.model.name} ({said})")
    finally:
        died.cancel()
        answered.cancel()


async def _answered(server: ModelServer) -> str:
    """Wait for a first token. Returns what the server says instead, "" if it answers."""
    asked = {"model": "default_model", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    async with httpx2.AsyncClient(headers=server.headers, timeout=None) as client:  # loading takes its time
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = await client.post(server.url + CHAT_PATH, json=asked)
                return "" if answer.status_code == 200 else error_in(answer.content)
            await asyncio.sleep(_POLL_SECONDS)


async def _read(server: ModelServer, said: Callable[[str], None]) -> None:
    assert server.process.stdout is not None
    async for line in server.process.stdout:
        text = line.decode("utf-8", "replace").rstrip()
        if (told := said_in(text, server.headers)) is not None:
            said(told)
        elif text:
            server.printed.append(text[:500])


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
