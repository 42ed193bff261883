"""A candidate's model server in this process, which answers as it is told to and dies when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.usage.front import Answer
from topcoat.engine.fake import FakeEngine
from topcoat.errors import EngineFault, TopcoatError
from topcoat.store.lineage import ModelRow
from topcoat.usage.capture.served.door import Upstream
from topcoat.usage.capture.served.loading import Checked, Loaded

__all__ = ["TOOLS", "Candidate", "candidate", "small_project"]


SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [{"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA}}]


def small_project(folder: Path) -> Path:
    """A native project with one tool, `read`, and a fake root."""
    folder.mkdir(exist_ok=True)
    (folder / "topcoat.toml").write_text(
        '[project]\nname = "p"\nbase = "root"\ncatalog = "tools.json"\ncalls = "native"\nsuite = "suite.jsonl"\n'
        'system_prompt = "system.md"\n'
    )
    (folder / "tools.json").write_text(json.dumps(TOOLS))
    case = {
        "id": "a",
        "category": "c",
        "prompt": "Read.",
        "expect": {"calls": [{"tool": "read", "args": {"path": "a"}}]},
    }
    (folder / "suite.jsonl").write_text(json.dumps(case) + "\n")
    (folder / "system.md").write_text("You read.")
    FakeEngine.create(folder / "root", [("anything", "root")])
    return folder


@dataclass
class Candidate:
    """The server of the model `candidate`, and what it was asked."""

    loaded: Loaded
    dead: asyncio.Event
    asked: list[bytes] = field(default_factory=list)

    async def died(self) -> TopcoatError:
        await self.dead.wait()
        return EngineFault("the model server was killed by signal 9")


@asynccontextmanager
async def candidate(answer: Answer) -> AsyncIterator[Candidate]:
    made: Candidate

    async def handle(request: web.Request) -> web.StreamResponse:
        made.asked.append(await request.read())
        return await answer(request)

    async def end() -> None:
        pass

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    row = ModelRow("candidate", "", Path("candidate"), "root", "root", None, None, None, "")
    server: Any = None
    loaded = Loaded(Checked(row, lambda *_: 0, True), Upstream(url, {"X-Key": "k"}, "candidate"), server, 0.0, end)
    made = Candidate(loaded, asyncio.Event())
    object.__setattr__(loaded, "server", made)
    try:
        yield made
    finally:
        await runner.cleanup()
