from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from tests.support.mlx.models import MakeModel
from tests.support.mlx.training import job
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model import memory
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.memory import machine_memory, memory_limit, memory_use, wired
from topcoat.engine.protocol import MemoryUse
from topcoat.errors import EngineFault
from topcoat.progress import Silent

DEVICES = {
    "metal": ({"max_recommended_working_set_size": 12_000, "memory_size": 16_000}, 12_000),
    "cuda": ({"total_memory": 8_000}, 8_000),
    "cpu": ({"architecture": "x86_64"}, machine_memory()),
}


@pytest.mark.parametrize(("device", "limit"), DEVICES.values(), ids=DEVICES)
def test_each_kind_of_device_says_its_limit_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, device: dict[str, object], limit: int
) -> None:
    monkeypatch.setattr(mx, "device_info", lambda: device)
    assert memory_limit() == limit


@pytest.mark.parametrize(
    ("device", "use"),
    [
        ({"max_recommended_working_set_size": 12_000}, MemoryUse(taken=9_000, free=12_000 - 500)),
        ({"max_recommended_working_set_size": 90_000}, MemoryUse(taken=9_000, free=20_000)),
        ({"max_recommended_working_set_size": 400}, MemoryUse(taken=9_000, free=0)),
        ({"total_memory": 8_000, "free_memory": 3_000}, MemoryUse(taken=7_000, free=3_000)),
        ({"total_memory": 8_000, "free_memory": 0}, MemoryUse(taken=7_000, free=0)),
        ({"architecture": "x86_64"}, MemoryUse(taken=9_000, free=20_000)),
    ],
    ids=["metal", "large metal", "full metal", "cuda", "full cuda", "cpu"],
)
def test_what_is_taken_and_free_is_that_of_the_memory_that_computes(
    monkeypatch: pytest.MonkeyPatch, device: dict[str, object], use: MemoryUse
) -> None:
    monkeypatch.setattr(mx, "device_info", lambda: device)
    monkeypatch.setattr(mx, "get_peak_memory", lambda: 7_000)
    monkeypatch.setattr(mx, "get_active_memory", lambda: 500)
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 1_000)
    monkeypatch.setattr(memory, "host_memory_use", lambda: MemoryUse(taken=9_000, free=20_000))
    assert memory_use() == use
    monkeypatch.setattr(memory, "host_memory_use", lambda: None)
    assert memory_use() == (use if "total_memory" in device else None)


@pytest.mark.parametrize("compute", Compute)
def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, compute: Compute
) -> None:
    model = load(make_model(), compute, lazy=True).model
    needed = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    monkeypatch.setattr(memory, "memory_limit", lambda: needed)
    memory.require_room(model, compute)
    monkeypatch.setattr(memory, "memory_limit", lambda: needed - 1)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    with pytest.raises(EngineFault, match="GB of memory") as caught:
        memory.hold(model, compute)
    assert mx.get_peak_memory() - before < needed // 10
    assert ("--compute as-stored" in (caught.value.hint or "")) == (compute is Compute.DEQUANTIZED)
    assert "num_layers" not in (caught.value.hint or "")


def test_a_training_that_does_not_fit_ends_before_the_trunk_is_computed(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    monkeypatch.setattr(memory, "memory_limit", lambda: 1000)
    with pytest.raises(EngineFault, match="weights to be held"):
        engine.train(job(folder, tmp_path), Silent())
    states = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(states) <= 4, "the states of two rows, and what they were compared with"


def test_metal_s_wired_limit_is_set_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    def set_limit(limit: int) -> int:
        limits.append(limit)
        return 7

    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 500})
    monkeypatch.setattr(mx, "set_wired_limit", set_limit)

    def fail() -> None:
        with wired():
            assert limits == [500]
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert limits == [500, 7]


def test_other_devices_have_no_wired_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "set_wired_limit", lambda _: pytest.fail("set"))
    with wired():
        pass
