from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import MemoryUse
from topcoat.engine.registry import ENGINES
from topcoat.usage.capture.served.model_server import model_server


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_says_what_memory_it_takes_and_what_is_free(tmp_path: Path, engine: str) -> None:
    model = TEMPLATE / "models" / "phase33b"
    if engine == "fake":
        model = tmp_path / "model"
        FakeEngine.create(model, [("anything", "yes")])

    async def use() -> MemoryUse | None:
        async with model_server(ENGINES[engine], model, (), {}) as server:
            return await server.memory()

    said = asyncio.run(use())
    assert said is not None
    assert said.taken > sum(file.stat().st_size for file in model.iterdir())
    assert said.free > 0
