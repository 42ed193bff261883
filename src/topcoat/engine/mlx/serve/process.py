"""The process that serves a model with mlx_lm.server. Naming it loads neither MLX nor mlx-lm."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from topcoat.engine.protocol import ServerProcess

__all__ = ["KEY_HEADER", "KEY_VARIABLE", "server_process"]

KEY_HEADER = "X-Topcoat-Key"
KEY_VARIABLE = "TOPCOAT_SERVER_KEY"


def server_process(model: Path, port: int, arguments: Sequence[str]) -> ServerProcess:
    """`topcoat.engine.mlx.serve.server` with `model` on a loopback port, and `arguments` for mlx_lm.server.

    It takes requests with a key alone: its port is open to every page and user of this machine.
    """
    key = secrets.token_urlsafe(24)
    return ServerProcess(
        command=[
            *(sys.executable, "-m", "topcoat.engine.mlx.serve.server", "--model", str(model)),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING", *arguments),
        ],
        environment={KEY_VARIABLE: key, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        headers={KEY_HEADER: key},
    )
