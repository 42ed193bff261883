"""LoRA adapters on a loaded model, in mlx-lm's format: `adapters.safetensors` and `adapter_config.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers

from topcoat.errors import EngineFault, InvalidInput, Where
from topcoat.spec.phase import TrainSpec

__all__ = ["adapter_config", "adapter_weights", "attach", "load_adapter", "read_adapter", "set_adapter"]

Weights = dict[str, mx.array]


def attach(model: nn.Module, spec: TrainSpec) -> None:
    """Freeze the model and put new adapters on its last `num_layers` layers. Only these are trainable afterwards.

    Their initial values come from MLX's global random state: seed it first. Raises InvalidInput if no module fits.
    """
    layers = len(model.layers)
    if spec.num_layers > layers:
        raise InvalidInput(f"num_layers = {spec.num_layers}, but the model has {layers} layers")
    model.freeze()
    _wrap(model, adapter_config(spec, layers))
    if not adapter_weights(model):
        raise InvalidInput(f"lora.keys = {spec.lora.keys} names no module of the adapted layers")


def adapter_config(spec: TrainSpec, layers: int) -> dict[str, Any]:
    """The configuration for `mlx_lm --adapter-path`. mlx-lm takes -1 for all layers only on its command line."""
    parameters: dict[str, Any] = {"rank": spec.lora.rank, "scale": spec.lora.scale, "dropout": spec.lora.dropout}
    if spec.lora.keys is not None:
        parameters["keys"] = list(spec.lora.keys)
    return {
        "fine_tune_type": "lora",
        "num_layers": layers if spec.num_layers < 0 else spec.num_layers,
        "lora_parameters": parameters,
    }


def _wrap(model: nn.Module, config: dict[str, Any]) -> None:
    try:
        linear_to_lora_layers(model, config["num_layers"], config["lora_parameters"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineFault(f"mlx-lm can't put LoRA on this model: {error}") from error


def adapter_weights(model: nn.Module) -> Weights:
    """The trainable parameters by name, sorted, so that every file has the same order."""
    return dict(sorted(tree_flatten(model.trainable_parameters())))


def set_adapter(model: nn.Module, weights: Weights) -> None:
    """Put `weights` into the adapters that `attach` made."""
    model.load_weights(list(weights.items()), strict=False)


def read_adapter(folder: Path) -> tuple[dict[str, Any], Weights]:
    """An adapter folder's configuration and weights. Raises InvalidInput if it isn't one."""
    config_path, weights_path = folder / "adapter_config.json", folder / "adapters.safetensors"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise InvalidInput(f"{folder} is not an adapter: it has no {path.name}", where=Where(folder))
    try:
        config = json.loads(config_path.read_bytes())
        weights = mx.load(str(weights_path))
    except (ValueError, RuntimeError, RecursionError) as error:
        raise InvalidInput(f"the adapter can't be read: {error}", where=Where(folder)) from error
    if not isinstance(config, dict) or config.get("fine_tune_type", "lora") != "lora":
        raise InvalidInput("only LoRA adapters can be fused", where=Where(config_path))
    if not {"num_layers", "lora_parameters"} <= config.keys() or "scale" not in config["lora_parameters"]:
        raise InvalidInput("adapter_config.json lacks num_layers or lora_parameters.scale", where=Where(config_path))
    assert isinstance(weights, dict)
    return config, weights


def load_adapter(model: nn.Module, folder: Path) -> None:
    """Attach a stored adapter to the model. Raises InvalidInput if it was trained on another model."""
    config, weights = read_adapter(folder)
    model.freeze()
    _wrap(model, config)
    expected = adapter_weights(model)
    wrong = [
        f"{name} {list(value.shape)}"
        for name, value in weights.items()
        if name not in expected or expected[name].shape != value.shape
    ]
    missing = sorted(expected.keys() - weights.keys())
    if wrong or missing:
        detail = f"unexpected {wrong[0]}" if wrong else f"lacks {missing[0]}"
        raise InvalidInput(f"the adapter belongs to another model: {detail}", where=Where(folder))
    set_adapter(model, weights)
    model.eval()
