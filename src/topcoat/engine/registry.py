"""The engines that there are, by name. Naming one loads nothing: MLX is imported when its engine is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from topcoat.engine.beginnings import Kept
from topcoat.engine.protocol import Engine, ServerProcess
from topcoat.errors import InvalidInput
from topcoat.progress import Sink

__all__ = ["ENGINES", "EngineEntry", "engine_named"]


class MakeServer(Protocol):
    """Names the process that serves a model folder on a port.

    It is given arguments, options of the chat template, and where it keeps the beginnings of prompts, if it does.
    """

    def __call__(
        self,
        model: Path,
        port: int,
        arguments: Sequence[str],
        template: Mapping[str, object],
        kept: Kept | None = None,
        /,
    ) -> ServerProcess: ...


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine: `open` loads it; `server` names the process that serves a model."""

    open: Callable[[Sink], Engine]
    server: MakeServer


def _open_mlx(sink: Sink) -> Engine:
    from topcoat.engine.mlx import open_engine

    return open_engine(sink)


def _mlx_server(
    model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object], kept: Kept | None = None
) -> ServerProcess:
    from topcoat.engine.mlx.serve.process import server_process

    return server_process(model, port, arguments, template, kept)


def _open_fake(sink: Sink) -> Engine:
    from topcoat.engine.fake import FakeEngine

    return FakeEngine()


def _fake_server(
    model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object], kept: Kept | None = None
) -> ServerProcess:
    from topcoat.engine.fake_server import server_process

    return server_process(model, port, arguments, template)


ENGINES = {"mlx": EngineEntry(_open_mlx, _mlx_server), "fake": EngineEntry(_open_fake, _fake_server)}


def engine_named(name: str) -> EngineEntry:
    """The engine of that name. Raises InvalidInput if there is none."""
    if name not in ENGINES:
        raise InvalidInput(f'there is no engine "{name}"', hint="--engine mlx")
    return ENGINES[name]
