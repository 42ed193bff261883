"""Fixtures that many tests share. MLX is configured here, before any test module imports it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from topcoat.data import check_runs
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.blas import load_fast_blas
from topcoat.engine.mlx.compute import Compute
from topcoat.progress import Event, Silent
from topcoat.workflow import preparation

load_fast_blas()

from topcoat.engine.mlx.engine import MlxEngine  # noqa: E402  # MLX takes the BLAS that is there when it is loaded

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A job in the background ignores Ctrl-C, and so would the processes that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Wall time is never asserted on: neither a busy machine nor a first call may fail a law.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MakeModel = Callable[..., Path]

SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": 2048,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
}


class Recorder:
    """A sink that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def fake_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded project around a fake model that remembers the history; its gate is one that the fake can pass.

    Of its data's programs only a few are run, not all 80, which would be two thirds of a fake run's time.
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
    write_phase(folder)
    return folder


def write_phase(project: Path, name: str = "phase34a", **changes: object) -> Path:
    """A phase file of the fake project; `changes` replace keys written with a double underscore: train__iters=8."""
    tables: dict[str, dict[str, object]] = {
        "data": {"train": ["data/phase34a.jsonl"], "replay": 0.5},
        "train": {"iters": 40, "batch_size": 4, "learning_rate": 1e-3, "grad_accumulation_steps": 1},
        "gate": {"no_regression": ["domain"]},
        "gate.target": {"domain": 0.6},
        "retry": {"max_attempts": 3},
    }
    for key, value in changes.items():
        table, _, name_of_key = key.rpartition("__")
        tables.setdefault(table.replace("__", "."), {})[name_of_key] = value
    text = "".join(
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for table, keys in tables.items()
    )
    path = project / "phases" / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def engine() -> MlxEngine:
    return open_engine(Silent(), Compute.DEQUANTIZED)


@pytest.fixture(scope="session")
def stored_engine() -> MlxEngine:
    """Computes as an engine on a GPU does: quantized weights, states of 16 bits."""
    return open_engine(Silent(), Compute.AS_STORED)


@pytest.fixture(scope="session")
def make_model(engine: MlxEngine, tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes a small random model with the embedded project's tokenizer; equal arguments give the same folder."""
    import importlib

    import mlx.core as mx
    from mlx_lm.utils import quantize_model, save_model

    made: dict[str, Path] = {}

    def make(
        kind: str = "qwen3",
        *,
        bits: int | None = 5,
        group_size: int = 64,
        dtype: str = "float32",
        seed: int = 0,
        **shape: object,
    ) -> Path:
        config = {"model_type": kind, **SHAPE, **(EXPERTS if kind == "qwen3_moe" else {}), **shape}
        key = json.dumps([config, bits, group_size, dtype, seed], sort_keys=True)
        if key in made:
            return made[key]
        module = importlib.import_module(f"mlx_lm.models.{kind}")
        mx.random.seed(seed)
        model = module.Model(module.ModelArgs.from_dict(config))
        model.set_dtype(getattr(mx, dtype))
        if bits is not None:
            model, config = quantize_model(model, config, group_size, bits)
        folder = tmp_path_factory.mktemp(f"{kind}-")
        save_model(folder, model)
        (folder / "config.json").write_text(json.dumps(config))
        for source in (TEMPLATE / "models" / "phase33b").iterdir():
            if source.name.startswith(("tokenizer", "chat_template", "generation")):
                shutil.copy(source, folder / source.name)
        made[key] = folder
        return folder

    return make
