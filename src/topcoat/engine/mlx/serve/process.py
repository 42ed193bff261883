"""The process that serves a model with mlx_lm.server. Naming it loads neither MLX nor mlx-lm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topcoat.engine.keyed_server import keyed_process
from topcoat.engine.protocol import ServerProcess

__all__ = ["server_process"]


def server_process(model: Path, port: int, arguments: Sequence[str]) -> ServerProcess:
    """`topcoat.engine.mlx.serve.server` with `model` on a loopback port, and `arguments` for mlx_lm.server."""
    own = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING"]
    return keyed_process("topcoat.engine.mlx.serve.server", [*own, *arguments])
