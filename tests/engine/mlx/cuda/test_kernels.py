from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path

import mlx.core as mx
import pytest

from tests.support.recorder import Recorder
from topcoat.engine.mlx import open_engine
from topcoat.progress import Note


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """MLX's folder for kernels on a machine with a CUDA GPU."""
    monkeypatch.setattr("topcoat.engine.mlx.engine.on_cpu", lambda: False)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: True)
    monkeypatch.delenv("MLX_PTX_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / "mlx" / importlib.metadata.version("mlx") / "ptx"


def notes() -> list[str]:
    sink = Recorder()
    open_engine(sink)
    return [event.text for event in sink.events if isinstance(event, Note) and "CUDA" in event.text]


def test_the_first_use_of_a_gpu_is_announced_until_there_are_kernels(kernels: Path) -> None:
    (said,) = notes()
    assert str(kernels) in said
    assert "minutes" in said
    assert "MLX_PTX_CACHE_DIR" in said
    kernels.mkdir(parents=True)
    assert notes() == [said]
    (kernels / "gather_float32_int32_1.ptx").write_text("kernel")
    assert notes() == []


def test_the_folder_that_the_environment_names_is_looked_at(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path / "lasting"))
    (said,) = notes()
    assert said.endswith(str(tmp_path / "lasting"))
    kernels.mkdir(parents=True)
    (kernels / "gather_float32_int32_1.ptx").write_text("kernel")
    assert notes() == [said]


def test_a_cpu_compiles_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx.cuda, "is_available", lambda: True)
    assert notes() == []
