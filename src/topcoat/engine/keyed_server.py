"""What the model servers of all engines have in common: a key that their front alone knows, and an end with it."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from topcoat.engine.protocol import MemoryUse, ServerProcess

__all__ = ["KEY_HEADER", "KEY_VARIABLE", "MEMORY_PATH", "end_with_parent", "keyed_process", "said_in", "say"]
__all__ += ["written_memory"]

MEMORY_PATH = "/memory"
KEY_HEADER = "X-Topcoat-Key"
KEY_VARIABLE = "TOPCOAT_SERVER_KEY"


def keyed_process(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> ServerProcess:
    """`python -m module` with `arguments`, and a fresh key in its environment beside what is in `environment`.

    The server takes requests with the key alone, because its port is open to every page and user of this machine.
    """
    key = secrets.token_urlsafe(24)
    return ServerProcess(
        command=[sys.executable, "-m", module, *arguments],
        environment={**environment, KEY_VARIABLE: key, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        headers={KEY_HEADER: key},
    )


def written_memory(use: MemoryUse | None) -> bytes:
    """What a server answers at `MEMORY_PATH`."""
    return json.dumps(None if use is None else dataclasses.asdict(use)).encode()


def say(text: str) -> None:
    """Tell the front's user something, from the server's process: a line of output that begins with the key.

    Nobody else knows the key, so no text of a request can pass for such a line.
    """
    os.write(sys.stdout.fileno(), f"\n{os.environ[KEY_VARIABLE]} {text}\n".encode())


def said_in(line: str, headers: Mapping[str, str]) -> str | None:
    """What a server says with a line of its output; None if it only prints it. `headers` have its key."""
    key = headers.get(KEY_HEADER)
    return line.removeprefix(f"{key} ") if key and line.startswith(f"{key} ") else None


def end_with_parent() -> None:
    """Wait until standard input ends, then end the process: its parent is gone, however it died."""
    while os.read(sys.stdin.fileno(), 4096):  # a buffered read would abort an interpreter that ends meanwhile
        pass
    os._exit(0)
