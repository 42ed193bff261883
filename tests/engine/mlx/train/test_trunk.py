from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import Mock

import mlx.core as mx
import numpy as np
import pytest

from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows, with_prefix
from tests.support.recorder import Recorder
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.train import recompute
from topcoat.engine.mlx.train import trunk as trunk_module
from topcoat.engine.mlx.train.prefix import shared_prefix
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.protocol import Row
from topcoat.progress import Silent, Started
from topcoat.store.cache import ArrayCache


def trunk_of(folder: Path, cache: Path, data: list[Row], split: int = 2) -> Trunk:
    return Trunk(folder, Compute.DEQUANTIZED, split, shared_prefix(data), ArrayCache(cache), computed_by="test")


@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_states_are_those_of_the_model_s_own_layers(make_model: MakeModel, kind: str, tmp_path: Path) -> None:
    folder, data = make_model(kind), with_prefix(50)
    trunk = trunk_of(folder, tmp_path, data)
    trunk.compute(data, Silent())
    model = load(folder, Compute.DEQUANTIZED).model.model
    model.layers = model.layers[:2]
    model.norm = lambda states: states
    for row in data:
        whole = np.array(model(mx.array(row.tokens[None, :-1])))[0]
        ours = np.concatenate([np.array(trunk.prefix_values()[1, 0])[0], np.array(trunk.states(row))])
        assert np.abs(ours - whole).max() < 1e-4 * np.abs(whole).max()


def test_a_row_s_states_don_t_depend_on_the_rows_beside_it(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = make_model(), rows(6)
    together = trunk_of(folder, tmp_path / "a", data)
    together.compute(data, Silent())
    monkeypatch.setattr(trunk_module, "TOGETHER", 1)  # a pass for each row
    apart = trunk_of(folder, tmp_path / "b", data)
    apart.compute(data[3:], Silent())
    apart.compute(data, Silent())
    for row in data:
        assert np.array_equal(np.array(together.states(row)), np.array(apart.states(row)))


@pytest.mark.parametrize("prefix", [0, 50])
def test_a_long_row_goes_through_the_layers_by_pieces(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: int
) -> None:
    folder, data = make_model("qwen3_moe"), with_prefix(prefix)
    at_once = trunk_of(folder, tmp_path / "a", data)
    at_once.compute(data, Silent())
    monkeypatch.setattr(trunk_module, "AT_ONCE", 24)
    monkeypatch.setattr(recompute, "PIECE", 16)
    pieces = Mock(side_effect=recompute.at_positions)
    monkeypatch.setattr(trunk_module, "at_positions", pieces)
    by_pieces = trunk_of(folder, tmp_path / "b", data)
    by_pieces.compute(data, Silent())
    assert pieces.call_count > 2
    for row in data:
        states = np.array(at_once.states(row))
        assert np.abs(np.array(by_pieces.states(row)) - states).max() < 1e-5 * np.abs(states).max()


def test_stored_states_are_not_computed_again(make_model: MakeModel, tmp_path: Path) -> None:
    folder, data = make_model(), with_prefix(50)
    trunk_of(folder, tmp_path, data).compute(data, Silent())
    sink = Recorder()
    again = trunk_of(folder, tmp_path, data)
    again.compute(data, sink)
    assert sink.events == []
    next(tmp_path.glob(f"{again.key(data[0])}*")).write_bytes(b"broken")
    trunk_of(folder, tmp_path, data).compute(data, sink)
    assert any(isinstance(event, Started) for event in sink.events)


def test_states_that_were_swapped_are_computed_again_and_said(make_model: MakeModel, tmp_path: Path) -> None:
    folder, data = make_model(), rows(2)
    first = trunk_of(folder, tmp_path, data)
    first.compute(data, Silent())
    states = [np.array(first.states(row)) for row in data]
    one, two = (next(tmp_path.glob(f"{first.key(row)}*")) for row in data)
    contents = one.read_bytes(), two.read_bytes()
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    sink = Recorder()
    again = trunk_of(folder, tmp_path, data)
    again.compute(data, sink)
    assert "2 files of the trunk's cache were damaged" in str(sink.events[0])
    for row, expected in zip(data, states, strict=True):
        assert np.array_equal(np.array(again.states(row)), expected)


def test_a_cache_that_is_deleted_meanwhile_is_computed_again(make_model: MakeModel, tmp_path: Path) -> None:
    folder, data = make_model(), with_prefix(50)
    kept = trunk_of(folder, tmp_path / "kept", data)
    kept.compute(data, Silent())
    lost = trunk_of(folder, tmp_path / "lost", data)
    lost.compute(data, Silent())
    shutil.rmtree(tmp_path / "lost")
    assert np.array_equal(np.array(lost.prefix_values()[1, 0]), np.array(kept.prefix_values()[1, 0]))
    for row in data:
        assert np.array_equal(np.array(lost.states(row)), np.array(kept.states(row)))


def test_models_that_share_a_trunk_share_its_states(make_model: MakeModel, tmp_path: Path) -> None:
    data = rows(1)
    base, other = make_model(), make_model(seed=1)
    top = tmp_path / "top"
    top.mkdir()
    for path in base.iterdir():
        (top / path.name).write_bytes(path.read_bytes())
    weights = dict(mx.load(str(base / "model.safetensors")))  # type: ignore[arg-type]  # a dict for safetensors
    for name, value in weights.items():
        if ".layers.3." in name:
            weights[name] = value + 1
    mx.save_safetensors(str(top / "model.safetensors"), weights)
    keys = [trunk_of(folder, tmp_path, data).key(data[0]) for folder in (base, top, other)]
    assert keys[0] == keys[1] != keys[2]
    assert trunk_of(base, tmp_path, data, 3).key(data[0]) == trunk_of(top, tmp_path, data, 3).key(data[0])
    assert trunk_of(base, tmp_path, data, 4).key(data[0]) != trunk_of(top, tmp_path, data, 4).key(data[0])
