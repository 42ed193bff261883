"""LoRA adapters on a loaded model, in mlx-lm's format: `adapters.safetensors` and `adapter_config.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.utils import linear_to_lora_layers
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topcoat.errors import EngineFault, InvalidInput, Mistake, Where
from topcoat.spec.phase import TrainSpec

__all__ = ["adapter_config", "adapter_weights", "attach", "load_adapter", "read_adapter", "require_rank", "set_adapter"]

Weights = dict[str, mx.array]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Parameters(_Part):
    rank: Annotated[int, Field(ge=1)]
    scale: Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    keys: list[str] | None = None


class _AdapterConfig(_Part):
    """The keys of `adapter_config.json` that decide what an adapter computes. `num_layers` is -1 for all."""

    num_layers: Annotated[int, Field(ge=-1)]
    lora_parameters: _Parameters


def attach(model: nn.Module, spec: TrainSpec) -> None:
    """Freeze the model and put new adapters on its last `num_layers` layers. Only these are trainable afterwards.

    Their initial values come from MLX's global random state: seed it first. Raises InvalidInput if a key fits no
    module, or the model has too few layers.
    """
    layers = len(model.layers)
    if spec.num_layers > layers:
        raise InvalidInput(
            f"num_layers = {spec.num_layers}, but the model has {layers} layers",
            hint="num_layers = -1 under [train] adapts all of them",
        )
    model.freeze()
    known = _adaptable(model)
    _wrap(model, adapter_config(spec, layers))
    adapted = {name.rpartition(".")[0] for name in adapter_weights(model)}
    unfit = [key for key in spec.lora.keys or () if not any(f".{name}".endswith(f".{key}") for name in adapted)]
    if unfit or not adapted:
        raise InvalidInput(
            f'lora.keys: "{unfit[0]}" names no module of the adapted layers' if unfit else "no layer can be adapted",
            hint=f"keys = {json.dumps(known)} under [train.lora]",
        )


def _adaptable(model: nn.Module) -> list[str]:
    """The names, within the last layer, of its linear modules."""
    kinds = (nn.Linear, nn.QuantizedLinear, SwitchLinear, QuantizedSwitchLinear)
    return sorted(name for name, module in model.layers[-1].named_modules() if isinstance(module, kinds))


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


def require_layers(model: nn.Module, count: int, where: Path) -> None:
    """Raise InvalidInput if the model has fewer than `count` layers."""
    layers = len(model.layers)
    if not 0 < count <= layers:
        raise InvalidInput(f"num_layers = {count}, but the model has {layers} layers", where=Where(where))


def _wrap(model: nn.Module, config: dict[str, Any]) -> None:
    try:
        linear_to_lora_layers(model, config["num_layers"], {"dropout": 0.0, **config["lora_parameters"]})
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
    try:
        parameters = _AdapterConfig.model_validate(config).lora_parameters
    except ValidationError as error:
        mistakes = [
            Mistake(f"{'.'.join(map(str, found['loc']))}: {found['msg']}", Where(config_path))
            for found in error.errors()
        ]
        raise InvalidInput.collect(str(config_path), mistakes) from error
    assert isinstance(weights, dict)
    require_rank(weights, parameters.rank, config_path)
    require_finite(weights, weights_path)
    return config, weights


def require_rank(weights: Weights, rank: int, where: Path) -> None:
    """Raise InvalidInput unless every matrix of an adapter has a dimension `rank`, and there is one."""
    if not weights:
        raise InvalidInput("the adapter has no matrices", where=Where(where))
    for name, value in weights.items():
        if rank not in value.shape:
            raise InvalidInput(f"the rank is said to be {rank}, but {name} is {list(value.shape)}", where=Where(where))


def require_finite(weights: Weights, where: Path) -> None:
    """Raise InvalidInput if a number of an adapter is infinite or not a number."""
    for name, value in weights.items():
        if not mx.isfinite(value).all().item():
            raise InvalidInput(f"{name} holds numbers that are not finite", where=Where(where))


def load_adapter(model: nn.Module, folder: Path) -> None:
    """Attach a stored adapter to the model. Raises InvalidInput if it was trained on another model."""
    config, weights = read_adapter(folder)
    require_layers(model, config["num_layers"], folder / "adapter_config.json")
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
