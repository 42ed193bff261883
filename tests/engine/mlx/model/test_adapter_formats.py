from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_adapters, load_model
from safetensors.numpy import load_file, save_file

from tests.support.mlx.adapters import make_adapter, peft_adapter
from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.numbers import scalar
from topcoat.errors import InvalidInput

TOKENS = mx.array([list(range(5, 45))])


@pytest.mark.parametrize("rslora", [False, True])
def test_a_peft_adapter_computes_what_its_deltas_say(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, rslora: bool
) -> None:
    folder = make_model(bits=None)
    source, deltas = peft_adapter(tmp_path / "peft", use_rslora=rslora)
    engine.adopt(folder, source, tmp_path / "adopted")
    plain, _ = load_model(folder)
    for name, delta in deltas.items():
        module = dict(plain.named_modules())[name]
        module.weight = module.weight + mx.array(delta)
    adapted = load_adapters(load_model(folder)[0], str(tmp_path / "adopted"))  # mlx-lm's own
    assert scalar(mx.abs(adapted(TOKENS) - plain(TOKENS)).max()) < 1e-4


def dora_adapter(folder: Path, layers: tuple[int, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """PEFT's DoRA: the delta of each module, and the magnitude of each of its outputs."""
    source, deltas = peft_adapter(folder, layers, use_dora=True)
    rng = np.random.default_rng(1)
    tensors = load_file(source / "adapter_model.safetensors")
    learned = {}
    for name, delta in deltas.items():
        magnitude = rng.uniform(0.3, 1.0, len(delta)).astype(np.float32)
        tensors[f"base_model.model.{name}.lora_magnitude_vector"] = magnitude
        learned[name] = delta, magnitude
    save_file(tensors, source / "adapter_model.safetensors")
    return learned


def test_a_peft_dora_has_the_magnitudes_that_it_learned(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model(bits=None)
    learned = dora_adapter(tmp_path / "peft", (2, 3))
    engine.adopt(folder, tmp_path / "peft", tmp_path / "adopted")
    plain, _ = load_model(folder)
    for name, (delta, magnitude) in learned.items():
        module = dict(plain.named_modules())[name]
        moved = np.array(module.weight) + delta
        module.weight = mx.array(magnitude[:, None] * moved / np.linalg.norm(moved, axis=1, keepdims=True))
    adapted = load_adapters(load_model(folder)[0], str(tmp_path / "adopted"))  # mlx-lm's own
    assert scalar(mx.abs(adapted(TOKENS) - plain(TOKENS)).max()) < 1e-4


def test_a_dora_without_some_layers_is_refused(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    """Their magnitudes would be those of the base's own rows, which an adapter alone doesn't tell."""
    dora_adapter(tmp_path / "peft", (1, 3))
    with pytest.raises(InvalidInput, match=r"leaves out .* in a layer after its first"):
        engine.adopt(make_model(), tmp_path / "peft", tmp_path / "adopted")


def test_a_full_fine_tuning_is_refused_by_name(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    source = make_adapter(make_model(), tmp_path / "mlx", size=0.1)
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | {"fine_tune_type": "full"}))
    with pytest.raises(InvalidInput, match='fine_tune_type is "full": whole layers that replace') as caught:
        engine.adopt(make_model(), source, tmp_path / "adopted")
    assert f"mlx_lm fuse --model BASE --adapter-path '{source}' --save-path NEW" in (caught.value.hint or "")


@pytest.mark.slow
def test_mlx_lm_makes_a_base_of_a_full_fine_tuning_as_the_refusal_says(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    folder, source, fused = make_model(bits=None), tmp_path / "mlx", tmp_path / "fused"
    model = load_model(folder)[0]
    model.freeze()
    model.layers[-1].unfreeze()
    trained = {name: value + 0.1 for name, value in tree_flatten(model.trainable_parameters())}
    source.mkdir()
    mx.save_safetensors(str(source / "adapters.safetensors"), trained)
    (source / "adapter_config.json").write_text(json.dumps({"fine_tune_type": "full", "num_layers": 1}))
    command = ["fuse", "--model", str(folder), "--adapter-path", str(source), "--save-path", str(fused)]
    subprocess.run([sys.executable, "-m", "mlx_lm", *command], check=True, capture_output=True)
    assert engine.describe(fused).digest != engine.describe(folder).digest
    own = dict(tree_flatten(load_model(fused)[0].parameters()))
    assert all(mx.array_equal(own[name], value).item() for name, value in trained.items())


def test_an_adapter_of_mlx_lm_stays_what_it_is(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    source = make_adapter(folder, tmp_path / "mlx", size=0.1)
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | {"data": "/home/someone", "iters": 3}))
    engine.adopt(folder, source, tmp_path / "adopted")
    assert json.loads((tmp_path / "adopted" / "adapter_config.json").read_text()) == config
    ours, theirs = (load_file(path / "adapters.safetensors") for path in (tmp_path / "adopted", source))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "lacks its magnitudes"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "beside the adapter"),
        ({"r": 8}, "the rank is said to be 8"),
        ({"r": None}, "lacks r"),
        ({"r": "4"}, "lacks r"),
        ({"r": True}, "lacks r"),
        ({"r": 10**12}, "the rank is said to be 1000000000000"),
        ({"lora_alpha": "8"}, "lacks r or lora_alpha"),
        ({"lora_alpha": float("nan")}, "lacks r or lora_alpha"),
        ({"lora_alpha": [8]}, "lacks r or lora_alpha"),
        ({"lora_alpha": 10**400}, "lacks r or lora_alpha"),
        ({"init_lora_weights": "pissa"}, "the base was changed"),
        ({"init_lora_weights": "pissa_niter_16"}, "the base was changed"),
        ({"init_lora_weights": "olora"}, "the base was changed"),
        ({"init_lora_weights": "loftq"}, "the base was changed"),
        ({"alora_invocation_tokens": [1, 2]}, "after certain tokens"),
    ],
)
def test_what_can_t_be_adopted_is_said(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    source, _ = peft_adapter(tmp_path / "peft")
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(InvalidInput, match=said):
        engine.adopt(make_model(), source, tmp_path / "adopted")
    assert not (tmp_path / "adopted").exists()


def test_a_folder_that_is_no_adapter_is_said(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no adapter_config"):
        engine.adopt(make_model(), tmp_path, tmp_path / "adopted")
    source, _ = peft_adapter(tmp_path / "peft")
    (source / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match="can't be read"):
        engine.adopt(make_model(), source, tmp_path / "adopted")


def test_a_peft_adapter_of_a_deeper_model_is_refused(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    source, _ = peft_adapter(tmp_path / "peft", layers=(1, 9))
    with pytest.raises(InvalidInput, match="adapts layer 9, but the model has layers 0 to 3"):
        engine.adopt(make_model(), source, tmp_path / "adopted")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lora_parameters.scale", "2.0"),
        ("lora_parameters.scale", float("inf")),
        ("lora_parameters.scale", None),
        ("lora_parameters.rank", "4"),
        ("lora_parameters.rank", 10**12),
        ("lora_parameters.rank", -4),
        ("lora_parameters.rank", [4]),
        ("lora_parameters.dropout", "none"),
        ("lora_parameters.keys", "self_attn.q_proj"),
        ("lora_parameters.keys", [3]),
        ("lora_parameters", [4, 1.0]),
        ("num_layers", "2"),
        ("num_layers", 0),
        ("num_layers", 5),
        ("num_layers", 10**12),
    ],
)
def test_an_adapter_with_absurd_values_is_refused(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, key: str, value: object
) -> None:
    source = make_adapter(make_model(), tmp_path / "mlx", size=0.1)
    path = source / "adapter_config.json"
    config = json.loads(path.read_text())
    *outer, last = key.split(".")
    (config[outer[0]] if outer else config)[last] = value
    path.write_text(json.dumps(config))
    with pytest.raises(InvalidInput) as refused:
        engine.adopt(make_model(), source, tmp_path / "adopted")
    said = refused.value.mistakes[0]
    assert said.where is not None
    assert str(said.where).startswith(str(source))
    assert last in said.message


def test_an_adapter_without_a_dropout_gets_the_one_that_mlx_lm_needs(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path
) -> None:
    source = make_adapter(make_model(), tmp_path / "mlx", size=0.1)
    config = json.loads((source / "adapter_config.json").read_text())
    del config["lora_parameters"]["dropout"]
    (source / "adapter_config.json").write_text(json.dumps(config))
    engine.adopt(make_model(), source, tmp_path / "adopted")
    load_adapters(load_model(make_model())[0], str(tmp_path / "adopted"))


def test_an_adapter_with_infinite_numbers_is_refused(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    source = make_adapter(make_model(), tmp_path / "mlx", size=0.1)
    tensors = dict(load_file(source / "adapters.safetensors"))
    name = next(iter(tensors))
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, source / "adapters.safetensors")
    with pytest.raises(InvalidInput, match="not finite"):
        engine.adopt(make_model(), source, tmp_path / "adopted")
