from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import describe, load
from topcoat.errors import EngineFault


def test_only_a_dense_mlp_is_named(make_model: MakeModel, tmp_path: Path) -> None:
    assert describe(make_model()).mlp == ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert describe(make_model(bits=None)).mlp == ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert describe(make_model("qwen3_moe")).mlp == ()
    broken = shutil.copytree(make_model(), tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    assert describe(broken).mlp == ()


@pytest.mark.parametrize("size", [1, 7])
def test_sizes_that_the_weights_contradict_are_an_error_and_no_crash(
    make_model: MakeModel, tmp_path: Path, size: int
) -> None:
    folder = shutil.copytree(make_model(intermediate_size=512), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": size}))
    with pytest.raises(EngineFault, match=r"inputs in config\.json and more in its weights"):
        load(folder, Compute.DEQUANTIZED, lazy=True)
