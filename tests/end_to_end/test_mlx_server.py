"""The same cases through the engine and through mlx-lm's own server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from topcoat.demo import TEMPLATE
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.spec.project import load_settings
from topcoat.spec.suite import Suite, load_suite
from topcoat.spec.tools.loading import load_catalog
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import EngineSource

pytestmark = pytest.mark.slow

MODEL = TEMPLATE / "models" / "phase33b"


@contextmanager
def mlx_server(model: Path, log: Path) -> Iterator[str]:
    """mlx_lm.server with `model` on a free port of the loopback; gives its URL once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlx_lm.server", "--model", str(model), "--port", str(port)]
    # The CPU backend's compiler calls the system's, which may not be there.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MLX_DISABLE_COMPILE": "1"}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            wait_for(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx2.get(url, timeout=5).raise_for_status()
        except httpx2.HTTPError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"mlx_lm.server did not start:\n{log.read_text()}")


def test_a_server_gives_the_answers_of_the_engine(engine: MlxEngine, tmp_path: Path) -> None:
    project = load_settings(TEMPLATE)
    catalog = load_catalog(project.catalog)
    suite = load_suite(project.suite, Agent(catalog))
    suite = Suite(suite.path, suite.cases[::6])
    ours = evaluate(EngineSource(engine, MODEL), suite, Agent(catalog, project.system_prompt), Silent(), "m")
    with mlx_server(MODEL, tmp_path / "server.log") as url:
        endpoint = Endpoint(url, "default_model")
        theirs = evaluate(endpoint, suite, Agent(catalog, project.system_prompt), Silent(), "m")
    assert len(ours.scores) > 30
    assert [score.answer for score in theirs.scores] == [score.answer for score in ours.scores]
    assert theirs.categories == ours.categories
    assert theirs.errors == []
