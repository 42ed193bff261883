"""The process that serves a model with mlx_lm.server. Naming it loads neither MLX nor mlx-lm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topcoat.engine.keyed_server import keyed_process
from topcoat.engine.protocol import ServerProcess
from topcoat.errors import InvalidInput

__all__ = ["server_process"]


def server_process(model: Path, port: int, arguments: Sequence[str]) -> ServerProcess:
    """`topcoat.engine.mlx.serve.server` with `model` on a loopback port, and `arguments` for mlx_lm.server.

    Raises InvalidInput for arguments that would take the server away from its front.
    """
    own = {"--model": str(model), "--host": "127.0.0.1", "--port": str(port)}
    for argument in arguments:
        name = argument.partition("=")[0]
        taken = next((option for option in own if len(name) > 2 and option.startswith(name)), None)
        if taken is not None:
            raise InvalidInput(
                f"{argument}: topcoat itself says to mlx_lm.server what its {taken} is",
                hint="topcoat promote MODEL" if taken == "--model" else f"topcoat serve {taken} VALUE",
            )
    given = [part for pair in own.items() for part in pair]
    return keyed_process("topcoat.engine.mlx.serve.server", [*given, "--log-level", "WARNING", *arguments])
