"""Examines the architectures that standard input names, one a line, and prints a JSON object of each one's findings.

Each is examined in a child of this process, which has imported everything already: a crash costs one line, and the
imports aren't paid again. Used by benchmarks/models.py.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.zoo.checks import examine
from benchmarks.zoo.folder import make_folder
from topcoat.engine.mlx import open_engine

NEEDED = ("mlx_lm", "mlx_lm.tuner.trainer", "topcoat.engine.mlx.engine", "transformers.models.auto.tokenization_auto")


def main() -> None:
    timeout = float(sys.argv[1])
    open_engine()  # configures MLX before anything else loads it
    for name in NEEDED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(examined(line.strip(), timeout)), flush=True)


def examined(architecture: str, timeout: float) -> dict[str, Any]:
    """The findings of a child by check, or under "fault" why there are none."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _examine(architecture, writing)
    os.close(writing)
    parts, end = [], time.monotonic() + timeout
    with os.fdopen(reading, "rb") as pipe:
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0] and (part := os.read(reading, 65536)):
            parts.append(part)
    if late := time.monotonic() >= end:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if late:
        return {"fault": f"no end after {timeout:.0f} seconds"}
    if os.WIFSIGNALED(status):
        return {"fault": f"it ended with {signal.Signals(os.WTERMSIG(status)).name}"}
    found: dict[str, Any] = json.loads(b"".join(parts))
    return found


def _examine(architecture: str, writing: int) -> NoReturn:
    """The child: write the findings to the pipe, and end."""
    os.setpgid(0, 0)  # a group of its own, so that all of it can be ended; in the same session, whose priority it keeps
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = make_folder(architecture, Path(scratch) / "model")
            found: dict[str, Any] = {
                name: asdict(one) for name, one in examine(architecture, model, Path(scratch)).items()
            }
        except BaseException as error:  # nothing of the child may reach the parent's code
            found = {"fault": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    with os.fdopen(writing, "w") as pipe:
        json.dump(found, pipe)
    os._exit(0)


if __name__ == "__main__":
    main()
