"""Trainings by ranks that `mlx.launch` starts on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.numbers import difference
from topcoat.engine.mlx.ranks.launch import launched_rank

ROOT = Path(__file__).parents[4]
LAUNCH = Path(sys.executable).with_name("mlx.launch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not mx.distributed.is_available("ring"), reason="this MLX has no ring backend"),
    pytest.mark.skipif(not LAUNCH.exists(), reason="mlx.launch isn't installed beside this Python"),
]


def trained(ranks: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One training by `tests.support.mlx.rank_training`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.mlx.rank_training", *map(str, arguments)]
    if ranks > 1:
        known = [
            word for name in ("PYTHONPATH", "OPENBLAS_NUM_THREADS") for word in ("--env", f"{name}={environment[name]}")
        ]
        command = [str(LAUNCH), "-n", str(ranks), "--backend", "ring", *known, "--", *command]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False, timeout=500)


def adapter(folder: Path) -> bytes:
    return (folder / "adapter" / "adapters.safetensors").read_bytes()


def test_two_ranks_train_the_adapter_of_one_and_go_on_after_a_kill(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(kind="qwen3")
    alone, two, killed = (tmp_path / name for name in ("alone", "two", "killed"))
    losses = json.loads(trained(1, model, alone, tmp_path / "cache").stdout)
    shared = json.loads(trained(2, model, two, tmp_path / "shared").stdout)
    assert shared == pytest.approx(losses, rel=1e-5)
    one, other = (mx.load(str(folder / "adapter" / "adapters.safetensors")) for folder in (alone, two))
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    for name, value in one.items():
        assert difference(value, other[name]) < 1e-3

    broken = trained(2, model, killed, tmp_path / "again", "3")
    assert "rank 1 exited with code -9" in broken.stdout + broken.stderr
    assert not (killed / "adapter").exists()
    assert json.loads(trained(2, model, killed, tmp_path / "again").stdout) == shared
    assert adapter(killed) == adapter(two)


def test_a_process_that_nothing_launched_has_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_RANK", raising=False)
    assert launched_rank() is None
    monkeypatch.setenv("MLX_RANK", "1")
    assert launched_rank() == 1
