from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub.utils._paths import filter_repo_objects
from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS

from benchmarks.zoo.folder import make_folder
from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model import folder as folder_module
from topcoat.engine.mlx.model.folder import describe, load, locate
from topcoat.errors import EngineFault
from topcoat.spec.phase import FuseSpec, TrainSpec


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


ON_THE_HUB = [
    "config.json", "generation_config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json",
    "tokenizer.json", "tokenizer.model", "tiktoken.model", "qwen.tiktoken", "merges.txt", "vocab.json",
    "special_tokens_map.json", "chat_template.jinja", "tokenization_mine.py", "modeling_mine.py", "pytorch_model.bin",
    "README.md",
]  # fmt: skip


def test_a_fetched_model_has_every_file_of_its_tokenizer_and_no_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetch(name: str, *, allow_patterns: list[str]) -> str:
        for file in filter_repo_objects(ON_THE_HUB, allow_patterns=allow_patterns):
            (tmp_path / file).touch()
        return str(tmp_path)

    monkeypatch.setattr(folder_module, "snapshot_download", fetch)
    fetched = {path.name for path in locate("owner/name").iterdir()}
    expected = set(filter_repo_objects(ON_THE_HUB, allow_patterns=DEFAULT_ALLOW_PATTERNS))
    assert {"tokenizer.model", "tiktoken.model", "qwen.tiktoken"} < fetched
    assert fetched == {name for name in expected if not name.endswith(".py")}


@pytest.mark.parametrize("architecture", ["gpt2", "recurrent_gemma"])
def test_any_folder_that_mlx_lm_loads_can_be_trained(engine: MlxEngine, tmp_path: Path, architecture: str) -> None:
    """gpt2 has other names for its sizes; recurrent_gemma's module lacks what freezing needs."""
    engine.require_trainable(make_folder(architecture, tmp_path), TrainSpec(num_layers=2), FuseSpec())
