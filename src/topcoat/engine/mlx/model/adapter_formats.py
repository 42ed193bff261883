"""Reads adapters in mlx-lm's and PEFT's formats, and writes mlx-lm's.

PEFT (0.18) stores `base_model.model.MODULE.lora_A.weight` (rank, in) and `lora_B.weight` (out, rank) and multiplies by
lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`; mlx-lm stores `MODULE.lora_a` (in, rank) and `lora_b`
(rank, out), and its scale as it is. DoRA's magnitudes (out,) are `MODULE.lora_magnitude_vector` and `MODULE.m`.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from topcoat.engine.mlx.model.lora import MAGNITUDES, Weights, load_adapter, read_adapter, require_rank
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.errors import InvalidInput, Where
from topcoat.store.files import staged_folder, write_json

__all__ = ["adopt"]

_PEFT = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>A|B|magnitude_vector)(?:\.default)?(?:\.weight)?")
_LAYER = re.compile(r"(?P<before>.*\blayers)\.(?P<index>\d+)\.(?P<key>.+)")
_UNSUPPORTED = {
    "modules_to_save": "whole modules were trained beside the adapter",
    "rank_pattern": "its modules have different ranks",
    "alpha_pattern": "its modules have different scales",
    "alora_invocation_tokens": "it only works after certain tokens",
    "layer_replication": "it was trained on a model with repeated layers",
    "trainable_token_indices": "embeddings of single tokens were trained beside the adapter",
    "use_qalora": "its inputs are pooled in groups",
}
_RESIDUAL = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways of PEFT's `init_lora_weights` that subtract the first adapter from the base: the result fits that base alone."""


def adopt(model: nn.Module, source: Path, target: Path) -> None:
    """Write the adapter in `source` to `target` in mlx-lm's format. `model` is the base that it must fit.

    Raises InvalidInput if it isn't a LoRA adapter of this model, or has parts other than a LoRA on linear layers.
    """
    config_path = source / "adapter_config.json"
    config = _config(config_path)
    with staged_folder(target) as staged:
        if "peft_type" in config:
            parameters, weights = _from_peft(source, config, len(model.layers))
        else:
            parameters, weights = _from_mlx_lm(source, len(model.layers))
        write_json(staged / "adapter_config.json", parameters)
        save_tensors(staged / "adapters.safetensors", weights, {"format": "mlx"})
        try:
            began = load_adapter(model, staged)
        except InvalidInput as error:
            raise InvalidInput(error.message, where=Where(source)) from error
        if began:
            save_tensors(staged / MAGNITUDES, began, {"format": "mlx"})


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidInput(
            f"{path.parent} is not an adapter: it has no adapter_config.json",
            where=Where(path.parent),
            hint="mlx_lm lora writes one with --adapter-path FOLDER, PEFT with save_pretrained(FOLDER)",
        )
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"adapter_config.json is not JSON: {error}", where=Where(path)) from error
    if not isinstance(config, dict):
        raise InvalidInput("adapter_config.json is not an object", where=Where(path))
    return config


def _from_mlx_lm(source: Path, layers: int) -> tuple[dict[str, Any], Weights]:
    config, weights = read_adapter(source)
    if config["num_layers"] == -1:
        config = {**config, "num_layers": layers}
    config["lora_parameters"].setdefault("dropout", 0.0)  # mlx-lm doesn't load an adapter without it
    kept = ("fine_tune_type", "num_layers", "lora_parameters")
    return {key: config[key] for key in kept if key in config}, weights


def _scale_of(config: dict[str, Any], where: Where) -> float:
    """What a PEFT adapter's product is multiplied with. Raises InvalidInput if it is more than a LoRA, or another."""
    if config["peft_type"] != "LORA":
        raise InvalidInput(f"a PEFT adapter of type {config['peft_type']} can't be fused; LORA can", where=where)
    for key, why in _UNSUPPORTED.items():
        if config.get(key):
            raise InvalidInput(f"{key}: {why}", where=where, hint=f"train it without {key}")
    if config.get("bias", "none") != "none":
        raise InvalidInput("biases were trained beside the adapter", where=where, hint='bias="none"')
    way = config.get("init_lora_weights")
    if isinstance(way, str) and way.lower().startswith(_RESIDUAL):
        raise InvalidInput(
            f"init_lora_weights = {way}: the base was changed when the training began, and this project's base is not",
            where=where,
            hint=f"save_pretrained(FOLDER, path_initial_model_for_weight_conversion=...) makes a plain LoRA of {way}",
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or not abs(alpha) <= 1e6:
        raise InvalidInput("the configuration lacks r or lora_alpha", where=where)
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _from_peft(source: Path, config: dict[str, Any], layers: int) -> tuple[dict[str, Any], Weights]:
    where = Where(source / "adapter_config.json")
    scale, rank = _scale_of(config, where), config["r"]
    halves = _halves(source / "adapter_model.safetensors", rank, dora=bool(config.get("use_dora")))
    places = {module: _LAYER.fullmatch(module) for module in halves}
    outside = [module for module, place in places.items() if place is None]
    if outside:
        raise InvalidInput(f"{outside[0]} lies outside the layers; only their modules can be adopted", where=where)
    found = [place for place in places.values() if place is not None]
    first, last = (choose(int(place["index"]) for place in found) for choose in (min, max))
    if last >= layers:
        raise InvalidInput(f"it adapts layer {last}, but the model has layers 0 to {layers - 1}", where=where)
    keys = sorted({place["key"] for place in found})
    before = found[0]["before"]
    weights: Weights = {}
    for key in keys:
        for index in range(first, layers):
            module = f"{before}.{index}.{key}"
            parts = halves.get(module) or _nothing(halves, key, where)
            weights[f"{module}.lora_a"], weights[f"{module}.lora_b"] = parts["A"].T, parts["B"].T
            if "magnitude_vector" in parts:
                weights[f"{module}.m"] = parts["magnitude_vector"].reshape(-1)
    parameters = {"rank": rank, "scale": scale, "dropout": 0.0, "keys": keys}
    kind = "dora" if config.get("use_dora") else "lora"
    return {"fine_tune_type": kind, "num_layers": layers - first, "lora_parameters": parameters}, weights


def _halves(path: Path, rank: int, *, dora: bool) -> dict[str, dict[str, mx.array]]:
    """The matrices A (rank, in) and B (out, rank) of each module and, of a DoRA, its magnitudes (out,); float32."""
    halves: dict[str, dict[str, mx.array]] = {}
    tensors = _tensors(path)
    require_rank(tensors, rank, path)
    needed = {"A", "B", "magnitude_vector"} if dora else {"A", "B"}
    for name, value in tensors.items():
        match = _PEFT.fullmatch(name)
        if match is None or match["part"] not in needed:
            raise InvalidInput(f"{name} is no LoRA matrix of a linear layer", where=Where(path))
        halves.setdefault(match["module"], {})[match["part"]] = value.astype(mx.float32)
    half = next((module for module, parts in halves.items() if parts.keys() != needed), None)
    if half is not None or not halves:
        lacks = "its magnitudes or one of its two matrices" if dora else "one of its two matrices"
        raise InvalidInput(f"{half or 'every module'} lacks {lacks}", where=Where(path))
    return halves


def _nothing(halves: dict[str, dict[str, mx.array]], key: str, where: Where) -> dict[str, mx.array]:
    """Zero matrices for a layer that the adapter lacks, because mlx-lm adapts a key in every layer or in none.

    Raises InvalidInput for a DoRA, whose magnitudes there are those of the base's own rows.
    """
    parts = next(parts for module, parts in halves.items() if module.endswith(f".{key}"))
    if "magnitude_vector" in parts:
        raise InvalidInput(f"a DoRA that leaves out {key} in a layer after its first can't be adopted", where=where)
    return {part: mx.zeros_like(matrix) for part, matrix in parts.items()}


def _tensors(path: Path) -> Weights:
    if not path.is_file():
        raise InvalidInput(f"the adapter has no {path.name}", where=Where(path.parent))
    try:
        loaded = mx.load(str(path))
        mx.eval(loaded)
    except (RuntimeError, ValueError) as error:
        raise InvalidInput(f"the adapter can't be read: {error}", where=Where(path)) from error
    assert isinstance(loaded, dict)
    return loaded
