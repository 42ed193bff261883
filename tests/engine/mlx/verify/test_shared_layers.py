from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlx.core as mx
import pytest

from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.verify.shared_layers import shared_layers


def with_changed(model: Path, folder: Path, tensor: str) -> Path:
    """A copy of the model whose tensors with `tensor` in their name have other values."""
    shutil.copytree(model, folder)
    weights = mx.load(str(model / "model.safetensors"))
    changed = {name: value + 1 if tensor in name else value for name, value in weights.items()}  # type: ignore[union-attr]
    mx.save_safetensors(str(folder / "model.safetensors"), changed)
    return folder


@pytest.mark.parametrize(
    ("tensor", "shared"),
    [
        ("layers.0.mlp.down_proj", 0),
        ("layers.2.self_attn.q_proj", 2),
        ("layers.3.", 3),
        ("embed_tokens", 0),
        ("model.norm", 4),
    ],
)
def test_layers_are_shared_below_the_first_difference(
    make_model: MakeModel, tmp_path: Path, tensor: str, shared: int
) -> None:
    model = make_model(bits=None)
    assert shared_layers(model, model) == 4
    assert shared_layers(with_changed(model, tmp_path / "other", tensor), model) == shared


def test_models_with_other_settings_share_nothing(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(bits=None)
    shutil.copytree(model, tmp_path / "other")
    config = json.loads((model / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"rope_theta": 5e5}))
    assert shared_layers(tmp_path / "other", model) == 0
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"quantization": {"bits": 4}}))
    assert shared_layers(tmp_path / "other", model) == 4
