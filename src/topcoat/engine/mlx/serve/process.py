"""The process that serves a model with mlx_lm.server. Naming it loads neither MLX nor mlx-lm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from topcoat.engine.beginnings import Kept
from topcoat.engine.keyed_server import keyed_process
from topcoat.engine.protocol import ServerProcess
from topcoat.errors import InvalidInput

__all__ = ["server_process"]


def server_process(
    model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object], kept: Kept | None = None
) -> ServerProcess:
    """`topcoat.engine.mlx.serve.server` with `model` on a loopback port, and `arguments` for mlx_lm.server.

    `template` are the options of the chat template, where a request brings none. `kept` says where the beginnings of
    prompts are kept, if they are. Raises InvalidInput for arguments that
    would take the server away from its front, or its chat template from the one that was trained with.
    """
    own = {"--model": str(model), "--host": "127.0.0.1", "--port": str(port)}
    if template:
        own["--chat-template-args"] = json.dumps(template)
    for argument in arguments:
        name = argument.partition("=")[0]
        taken = next((option for option in own if len(name) > 2 and option.startswith(name)), None)
        if taken is not None:
            raise InvalidInput(
                f"{argument}: topcoat itself says to mlx_lm.server what its {taken} is",
                hint=_HINTS.get(taken, f"topcoat serve {taken} VALUE"),
            )
    given = [part for pair in own.items() for part in pair]
    command = [*given, "--log-level", "WARNING", *arguments]
    return keyed_process("topcoat.engine.mlx.serve.server", command, kept.environment() if kept else {})


_HINTS = {
    "--model": "topcoat promote MODEL",
    "--chat-template-args": "template = {...} under [project] in topcoat.toml, or chat_template_kwargs in a request",
}
