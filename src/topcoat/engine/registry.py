"""The engines that there are, by name. Naming one loads nothing: MLX is imported when its engine is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from topcoat.engine.protocol import Engine, ServerProcess
from topcoat.errors import InvalidInput
from topcoat.progress import Sink

__all__ = ["ENGINES", "EngineEntry", "engine_named"]


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine: `open` loads it; `server` names the process that serves a model folder on a port.

    The process is given arguments, and options of the chat template.
    """

    open: Callable[[Sink], Engine]
    server: Callable[[Path, int, Sequence[str], Mapping[str, object]], ServerProcess]


def _open_mlx(sink: Sink) -> Engine:
    from topcoat.engine.mlx import open_engine

    return open_engine(sink)


def _mlx_server(model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object]) -> ServerProcess:
    from topcoat.engine.mlx.serve.process import server_process

    return server_process(model, port, arguments, template)


def _open_fake(sink: Sink) -> Engine:
    from topcoat.engine.fake import FakeEngine

    return FakeEngine()


def _fake_server(model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object]) -> ServerProcess:
    from topcoat.engine.fake_server import server_process

    return server_process(model, port, arguments, template)


ENGINES = {"mlx": EngineEntry(_open_mlx, _mlx_server), "fake": EngineEntry(_open_fake, _fake_server)}


def engine_named(name: str) -> EngineEntry:
    """The engine of that name. Raises InvalidInput if there is none."""
    if name not in ENGINES:
        raise InvalidInput(f'there is no engine "{name}"', hint="--engine mlx")
    return ENGINES[name]
