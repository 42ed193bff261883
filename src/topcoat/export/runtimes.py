"""The runtime of an export, as a server of OpenAI's chat completions: started, asked, ended.

llama.cpp's own server for a GGUF file, transformers for Hugging Face's layout and PEFT, mlx-lm for the others.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx2

from topcoat.engine.keyed_server import keyed_process
from topcoat.engine.protocol import ServerProcess
from topcoat.engine.registry import EngineEntry
from topcoat.errors import EngineFault, InvalidInput
from topcoat.store.records import ExportRecord

__all__ = ["LLAMA_VARIABLE", "Runtime", "free_port", "runtime_of", "serving"]

LLAMA_VARIABLE = "TOPCOAT_LLAMA_SERVER"
"""The environment variable with the path of llama.cpp's server, where it isn't found as llama-server."""

_READY_SECONDS = 600.0
_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Runtime:
    """`name` in words; the process that serves an export on `port`; `key` is the API key that it wants."""

    name: str
    process: ServerProcess
    port: int
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def runtime_of(
    record: ExportRecord,
    folder: Path,
    root: Path,
    engine: EngineEntry,
    template: Mapping[str, object],
    concurrency: int,
) -> Runtime:
    """The runtime that the exported `folder` was made for. `root` is what an adapter in it belongs on: a folder that
    the runtime loads. `template` are the options of the chat template.

    Raises InvalidInput if the runtime isn't installed.
    """
    port = free_port()
    if record.to in ("gguf", "ollama", "lmstudio-gguf"):
        return _llama(folder / record.weights, port, concurrency)
    if record.to in ("hf", "peft"):
        base, adapter = (root, ["--adapter", str(folder)]) if record.to == "peft" else (folder, [])
        return _transformers(base, adapter, port)
    model, adapter = (root, ["--adapter-path", str(folder)]) if record.to == "mlx-adapter" else (folder, [])
    return Runtime("mlx-lm", engine.server(model, port, adapter, template), port)


def _llama(weights: Path, port: int, concurrency: int) -> Runtime:
    found = os.environ.get(LLAMA_VARIABLE) or shutil.which("llama-server")
    if found is None or shutil.which(found) is None:
        raise InvalidInput(
            "llama.cpp's server isn't found: there is no llama-server on the path"
            if found is None
            else f"{LLAMA_VARIABLE} names no program: {found}",
            hint=f"brew install llama.cpp, or export {LLAMA_VARIABLE}=PATH/llama-server",
        )
    key = secrets.token_urlsafe(24)
    command = [found, "--model", str(weights), "--host", "127.0.0.1", "--port", str(port), "--jinja"]
    # Each slot has its share of the context.
    command += ["--parallel", str(concurrency), "--ctx-size", str(concurrency * 4096)]
    # Libraries that a package has beside its server.
    libraries = os.pathsep.join(filter(None, [str(Path(found).resolve().parent), os.environ.get("LD_LIBRARY_PATH")]))
    return Runtime(
        "llama.cpp",
        ServerProcess(command, {"LLAMA_API_KEY": key, "LD_LIBRARY_PATH": libraries}, {}),
        port,
        key,
    )


def _transformers(base: Path, adapter: list[str], port: int) -> Runtime:
    needed = ["torch", *(["peft"] if adapter else [])]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        raise InvalidInput(
            f"transformers needs {' and '.join(missing)} to load this export", hint=f"pip install {' '.join(missing)}"
        )
    arguments = ["--model", str(base), "--port", str(port), *adapter]
    return Runtime(
        "transformers and PEFT" if adapter else "transformers",
        keyed_process("topcoat.export.transformers_server", arguments),
        port,
    )


@contextmanager
def serving(runtime: Runtime) -> Iterator[str]:
    """The runtime's URL, until the block ends. Raises EngineFault, with what it printed, if it doesn't serve."""
    with tempfile.TemporaryFile("w+b") as printed:
        process = subprocess.Popen(
            list(runtime.process.command),
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**os.environ, **runtime.process.environment},
            start_new_session=True,  # Ctrl-C ends this process, which ends the server
        )
        try:
            _await_ready(runtime, process)
            yield runtime.url
        except _Ended as error:
            printed.seek(0)
            lines = printed.read().decode("utf-8", "replace").splitlines()[-_LAST_LINES:]
            raise EngineFault("\n  ".join([f"{runtime.name} {error}; it printed last:", *lines])) from error
        finally:
            _end(process)


class _Ended(Exception):
    """The server isn't there, in words."""


def _await_ready(runtime: Runtime, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    with httpx2.Client(headers=dict(runtime.process.headers), timeout=5.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise _Ended(f"ended with exit code {process.returncode}")
            with contextlib.suppress(httpx2.TransportError):
                if client.get(f"{runtime.url}/health").status_code == 200:
                    return
            time.sleep(_POLL_SECONDS)
    raise _Ended(f"isn't ready after {_READY_SECONDS:.0f} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
