"""Small random models."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from topcoat.demo import TEMPLATE

__all__ = ["SHAPE", "MakeModel", "in_hugging_face_layout", "model_maker", "model_of_config"]

MakeModel = Callable[..., Path]
SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": 4096,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
}


def model_maker(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes a small random model with the embedded project's tokenizer; equal arguments give the same folder."""
    import mlx.core as mx
    from mlx_lm.utils import quantize_model, save_model

    made: dict[str, Path] = {}

    def make(
        kind: str = "qwen3",
        *,
        bits: int | None = 5,
        group_size: int = 64,
        dtype: str = "float32",
        mode: str = "affine",
        seed: int = 0,
        global_scale: bool = False,
        **shape: object,
    ) -> Path:
        config = {"model_type": kind, **SHAPE, **(EXPERTS if kind == "qwen3_moe" else {}), **shape}
        key = json.dumps([config, bits, group_size, dtype, mode, seed, global_scale], sort_keys=True)
        if key in made:
            return made[key]
        module = importlib.import_module(f"mlx_lm.models.{kind}")
        mx.random.seed(seed)
        model = module.Model(module.ModelArgs.from_dict(config))
        model.set_dtype(getattr(mx, dtype))
        if bits is not None:
            model, config = quantize_model(model, config, group_size, bits, mode, global_scale)
        folder = tmp_path_factory.mktemp(f"{kind}-")
        save_model(folder, model)
        _add_config_and_tokenizer(folder, config)
        made[key] = folder
        return folder

    return make


def model_of_config(config: dict[str, Any], folder: Path) -> Path:
    """A random model, quantized module by module as a complete `config.json` says."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.utils import save_model

    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(config))
    packing = config["quantization"]
    usual = {key: packing[key] for key in ("group_size", "bits", "mode")}

    def packed(name: str, part: nn.Module) -> Any:
        return hasattr(part, "to_quantized") and packing.get(name, True)

    nn.quantize(model, **usual, class_predicate=packed)
    save_model(folder, model)
    _add_config_and_tokenizer(folder, config)
    return folder


def _add_config_and_tokenizer(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def in_hugging_face_layout(model: Path, folder: Path) -> Path:
    """A plain qwen3_moe model as its makers publish it: each expert's matrices apart, in two files with an index."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = {}
    for name, value in load_file(model / "model.safetensors").items():
        before, experts, after = name.partition(".switch_mlp.")
        if experts:
            for number, matrix in enumerate(value):
                tensors[f"{before}.experts.{number}.{after}"] = matrix.copy()
        else:
            tensors[name] = value
    names = sorted(tensors)
    where: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
