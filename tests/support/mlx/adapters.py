"""Random adapters, in mlx-lm's form and in PEFT's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from safetensors.numpy import save_file

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_config, adapter_weights, attach
from topcoat.spec.phase import LoraSpec, TrainSpec

__all__ = ["make_adapter", "peft_adapter"]

SHAPES = {"self_attn.q_proj": (64, 64), "mlp.down_proj": (64, 128)}


def make_adapter(
    model: Path, folder: Path, *, size: float, seed: int = 0, keys: list[str] | None = None, layers: int = 2
) -> Path:
    """An adapter with random deltas of about `size` times the rms of the weights, on the last layers."""
    spec = TrainSpec(num_layers=layers, lora=LoraSpec(rank=4, scale=1.0, keys=keys))
    loaded = load(model, Compute.DEQUANTIZED)
    mx.random.seed(seed)
    attach(loaded.model, spec)
    weights = {}
    for name, value in adapter_weights(loaded.model).items():
        if name.endswith("lora_b"):
            inner = 64 if "down_proj" not in name else 128
            # lora_a is uniform in ±1/sqrt(in): its products with rank 4 have a variance of 4/(3 in).
            value = mx.random.normal(value.shape) * (size * 0.07 / (4 / (3 * inner)) ** 0.5)
        weights[name] = value
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    (folder / "adapter_config.json").write_text(json.dumps(adapter_config(spec, 4)))
    return folder


def peft_adapter(folder: Path, layers: tuple[int, ...] = (1, 3), **changes: Any) -> tuple[Path, dict[str, np.ndarray]]:
    """A PEFT adapter as `save_pretrained` writes it, and the full delta of each module."""
    rng = np.random.default_rng(0)
    config: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", **changes}
    scale = config["lora_alpha"] / (2.0 if config.get("use_rslora") else 4.0)
    tensors, deltas = {}, {}
    for layer in layers:
        for key, (out, width) in SHAPES.items():
            a, b = rng.normal(0, 0.1, (4, width)), rng.normal(0, 0.1, (out, 4))
            module = f"model.layers.{layer}.{key}"
            tensors[f"base_model.model.{module}.lora_A.weight"] = a.astype(np.float32)
            tensors[f"base_model.model.{module}.lora_B.weight"] = b.astype(np.float32)
            deltas[module] = (scale * b @ a).astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder, deltas
