from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.model.folder import describe


def test_only_a_dense_mlp_is_named(make_model: MakeModel, tmp_path: Path) -> None:
    assert describe(make_model()).mlp == ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert describe(make_model(bits=None)).mlp == ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert describe(make_model("qwen3_moe")).mlp == ()
    broken = shutil.copytree(make_model(), tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    assert describe(broken).mlp == ()
