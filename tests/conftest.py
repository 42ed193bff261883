"""Fixtures that many tests share. MLX is configured here, before any test module imports it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.fake_project import ask_for_tools_alone, write_phase
from tests.support.mlx.models import MakeModel, model_maker
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.compute import Compute, keep_float32
from topcoat.engine.mlx.cpu.blas import load_fast_blas
from topcoat.examples.checks import execution as check_runs
from topcoat.phases import preparation
from topcoat.progress import Silent

load_fast_blas()
keep_float32()
# What tests compute without the engine isn't compiled either: on a CPU that calls the system's C++ compiler.
os.environ["MLX_DISABLE_COMPILE"] = "1"

from topcoat.engine.mlx.engine import MlxEngine  # noqa: E402  # MLX takes the BLAS that is there when it is loaded

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A job in the background ignores Ctrl-C, and so would the processes that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Wall time is never asserted on: neither a busy machine nor a first call may fail a law.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def fake_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded project around a fake model that remembers the history; its gate is one that the fake can pass.

    Of its data's programs only a few are run, not all 80, which would be two thirds of a fake run's time. Its suite
    asks for tools alone: the fake answers with the names that it remembers, and executing each answer takes as long.
    """
    for module in (check_runs, preparation):
        monkeypatch.setattr(module, "MOST_RUN", 8)
    folder = tmp_path / "project"
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    pairs = []
    for line in (folder / "data" / "phase33b.jsonl").read_text().splitlines():
        messages = json.loads(line)["messages"]
        pairs.append((messages[1]["content"], messages[2]["content"]))
    FakeEngine.create(folder / "models" / "phase33b", pairs)
    ask_for_tools_alone(folder / "suites" / "routing.jsonl")
    write_phase(folder)
    return folder


@pytest.fixture(scope="session")
def engine() -> MlxEngine:
    return open_engine(Silent(), Compute.DEQUANTIZED)


@pytest.fixture(scope="session")
def stored_engine() -> MlxEngine:
    """Computes as an engine on a GPU does: quantized weights, states of 16 bits."""
    return open_engine(Silent(), Compute.AS_STORED)


@pytest.fixture(scope="session")
def make_model(engine: MlxEngine, tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """The maker of random models, after the engine has configured MLX."""
    return model_maker(tmp_path_factory)
