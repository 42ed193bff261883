from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from tests.support.mlx.models import MakeModel
from tests.support.mlx.training import job
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import FuseJob
from topcoat.errors import EngineFault
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec

REFUSED = """Failed to compile kernel: /site/nvidia/cu13/include/mma.h(55): catastrophic error: cannot open source file "crt/mma.h"
    #include "crt/mma.h"
"""  # noqa: E501  # as MLX says it


@pytest.mark.parametrize(
    ("said", "hint"), [(REFUSED, 'pip install "nvidia-cuda-crt==13.*"'), ("[malloc] Unable to allocate 9 bytes.", None)]
)
def test_what_mlx_can_t_do_is_a_fault_of_the_engine(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError(said)

    model = make_model()
    training = job(model, tmp_path)
    engine.train(training, Silent())
    fusing = FuseJob(model, model, [tmp_path / "adapter"], FuseSpec(), training.valid, tmp_path / "fused")
    monkeypatch.setattr(mx, "eval", refuse)
    with pytest.raises(EngineFault, match=r"training failed: [^\n]+$") as caught:
        engine.train(job(model, tmp_path / "other"), Silent())
    assert caught.value.hint == hint
    with pytest.raises(EngineFault, match=r"fusing failed: [^\n]+$"):
        engine.fuse(fusing, Silent())


def test_experts_are_replaced_on_cuda_alone_and_for_the_time_of_a_job(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = mx.gather_mm
    replaced = set()

    class Watch:
        """Looks at MLX whenever something is reported."""

        def emit(self, _: object) -> None:
            replaced.add(mx.gather_mm is not stock)

    for where in ("engine", "cpu.quicken"):
        monkeypatch.setattr(f"topcoat.engine.mlx.{where}.on_cpu", lambda: False)
    for cuda in (True, False):
        monkeypatch.setattr(mx.cuda, "is_available", lambda cuda=cuda: cuda)
        replaced.clear()
        engine.train(job(make_model(), tmp_path / str(cuda)), Watch())
        assert replaced == {cuda}
        assert mx.gather_mm is stock
