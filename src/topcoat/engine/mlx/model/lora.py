"""LoRA and DoRA adapters on a loaded model, in mlx-lm's format: `adapters.safetensors` and `adapter_config.json`.

DoRA (Liu et al. 2024, arXiv 2402.09353) also learns each output's magnitude: mlx-lm's `m` (out,). It begins with the
norms of the base's rows. `magnitudes.safetensors` keeps these beside the adapter, so that a fuse knows the change.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear
from mlx_lm.tuner.utils import linear_to_lora_layers
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topcoat.errors import EngineFault, InvalidInput, Mistake, Where
from topcoat.spec.phase import TrainSpec

__all__ = [
    "MAGNITUDES",
    "adapter_config",
    "adapter_weights",
    "attach",
    "load_adapter",
    "magnitudes",
    "read_adapter",
    "require_gradient",
    "require_rank",
    "set_adapter",
    "wrap",
]

Weights = dict[str, mx.array]

MAGNITUDES = "magnitudes.safetensors"
"""The magnitudes with which a DoRA begins. mlx-lm doesn't read the file."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Parameters(_Part):
    rank: Annotated[int, Field(ge=1)]
    scale: Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    keys: list[str] | None = None


class _AdapterConfig(_Part):
    """The keys of `adapter_config.json` that decide what an adapter computes. `num_layers` is -1 for all."""

    fine_tune_type: Literal["lora", "dora"] = "lora"
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
    known = _adaptable(model, spec)
    _require_no_experts(model, spec, known)
    wrap(model, adapter_config(spec, layers))
    adapted = {name.rpartition(".")[0] for name in adapter_weights(model)}
    unfit = [key for key in spec.lora.keys or () if not any(f".{name}".endswith(f".{key}") for name in adapted)]
    if unfit or not adapted:
        raise InvalidInput(
            f'lora.keys: "{unfit[0]}" names no module of the adapted layers' if unfit else "no layer can be adapted",
            hint=f"keys = {json.dumps(known)} under [train.lora]",
        )


_EXPERTS = (SwitchLinear, QuantizedSwitchLinear)


def _adaptable(model: nn.Module, spec: TrainSpec) -> list[str]:
    """The names, within the last layer, of its linear modules; without experts where these can't be adapted."""
    linear = (nn.Linear, nn.QuantizedLinear)
    kinds = linear if spec.fine_tune_type == "dora" else (*linear, *_EXPERTS)
    return sorted(name for name, module in model.layers[-1].named_modules() if isinstance(module, kinds))


def _require_no_experts(model: nn.Module, spec: TrainSpec, known: list[str]) -> None:
    """Raise InvalidInput if a DoRA would be put on experts, which mlx-lm has none for."""
    keys = spec.lora.keys
    if spec.fine_tune_type != "dora":
        return
    for layer in model.layers:
        for name, module in layer.named_modules():
            if isinstance(module, _EXPERTS) and (keys is None or name in keys):
                raise InvalidInput(
                    f'fine_tune_type = "dora" can\'t adapt experts, and {name} has some',
                    hint=f"keys = {json.dumps(known)} under [train.lora]",
                )


def require_gradient(model: nn.Module) -> None:
    """Raise EngineFault if mlx-lm can't compute with adapters on this model, or has no gradient of its layers.

    Only the graph is made, of four tokens: nothing is computed, and no weight is read.
    """

    def total(adapted: nn.Module, tokens: mx.array) -> mx.array:
        return adapted(tokens).sum()

    try:
        nn.value_and_grad(model, total)(model, mx.array([[1, 2, 3, 4]]))
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        inner = (name for name, module in model.layers[-1].named_modules() if isinstance(module, LoRALinear))
        usual = sorted(name for name in inner if re.match(r"(self_)?att(entio)?n\.|mlp\.", name))
        raise EngineFault(
            f"mlx-lm can't train adapters on these modules: {str(error).splitlines()[0]}",
            hint=f"keys = {json.dumps(usual)} under [train.lora]" if usual else None,
        ) from error


def adapter_config(spec: TrainSpec, layers: int) -> dict[str, Any]:
    """The configuration for `mlx_lm --adapter-path`. mlx-lm takes -1 for all layers only on its command line."""
    parameters: dict[str, Any] = {"rank": spec.lora.rank, "scale": spec.lora.scale, "dropout": spec.lora.dropout}
    if spec.lora.keys is not None:
        parameters["keys"] = list(spec.lora.keys)
    return {
        "fine_tune_type": spec.fine_tune_type,
        "num_layers": layers if spec.num_layers < 0 else spec.num_layers,
        "lora_parameters": parameters,
    }


def require_layers(model: nn.Module, count: int, where: Path) -> None:
    """Raise InvalidInput if the model has fewer than `count` layers."""
    layers = len(model.layers)
    if not 0 < count <= layers:
        raise InvalidInput(f"num_layers = {count}, but the model has {layers} layers", where=Where(where))


def wrap(model: nn.Module, config: dict[str, Any]) -> None:
    dora = config.get("fine_tune_type") == "dora"
    try:
        linear_to_lora_layers(model, config["num_layers"], {"dropout": 0.0, **config["lora_parameters"]}, dora)
    except (ValueError, KeyError, TypeError) as error:
        raise EngineFault(f"mlx-lm can't put LoRA on this model: {error}") from error

    for _, module in model.named_modules():
        if isinstance(module, DoRALinear):
            _widen(module)


def _widen(module: DoRALinear) -> None:
    """Give `lora_a` the width of its inputs. mlx-lm (0.32) counts it wrong for quantized modules of 3, 5 and 6 bits."""
    linear = module.linear
    if isinstance(linear, nn.QuantizedLinear):
        width = linear.weight.shape[-1] * 32 // linear.bits
        if module.lora_a.shape[0] != width:
            bound = width**-0.5
            module.lora_a = mx.random.uniform(low=-bound, high=bound, shape=(width, module.lora_a.shape[1]))


def adapter_weights(model: nn.Module) -> Weights:
    """The trainable parameters by name, sorted, so that every file has the same order."""
    return dict(sorted(tree_flatten(model.trainable_parameters())))


def magnitudes(model: nn.Module) -> Weights:
    """The magnitudes `m` (out,) of the model's DoRA modules, by name."""
    return {name: value for name, value in adapter_weights(model).items() if name.endswith(".m")}


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
    kind = config.get("fine_tune_type", "lora") if isinstance(config, dict) else None
    if kind == "full":
        raise InvalidInput(
            'fine_tune_type is "full": whole layers that replace the base\'s, not a change that could be added to them',
            where=Where(config_path),
            hint=f"python -m mlx_lm fuse --model BASE --adapter-path '{folder}' --save-path NEW makes a base of them, "
            "for topcoat init PROJECT --base NEW",
        )
    if kind not in ("lora", "dora"):
        said = f": fine_tune_type is {json.dumps(kind)}" if kind else ""
        raise InvalidInput(f"only LoRA and DoRA adapters can be fused{said}", where=Where(config_path))
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
    """Raise InvalidInput unless every matrix of an adapter has a dimension `rank`, and there is one.

    DoRA's magnitudes are no matrices.
    """
    if not weights:
        raise InvalidInput("the adapter has no matrices", where=Where(where))
    for name, value in weights.items():
        if value.ndim > 1 and rank not in value.shape:
            raise InvalidInput(f"the rank is said to be {rank}, but {name} is {list(value.shape)}", where=Where(where))


def require_finite(weights: Weights, where: Path) -> None:
    """Raise InvalidInput if a number of an adapter is infinite or not a number."""
    for name, value in weights.items():
        if not mx.isfinite(value).all().item():
            raise InvalidInput(f"{name} holds numbers that are not finite", where=Where(where))


def load_adapter(model: nn.Module, folder: Path) -> Weights:
    """Attach a stored adapter to the model. Raises InvalidInput if it was trained on another model.

    Returns the magnitudes with which a DoRA on this model begins.
    """
    config, weights = read_adapter(folder)
    require_layers(model, config["num_layers"], folder / "adapter_config.json")
    model.freeze()
    wrap(model, config)
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
    began = magnitudes(model)
    set_adapter(model, weights)
    model.eval()
    return began
