"""A model's `config.json`, with the values checked that topcoat itself reads."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import mlx.nn as nn
from mlx_lm.utils import load_model
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topcoat.errors import InvalidInput, Mistake, Where

__all__ = ["Config", "context_of", "quantization_of", "read_config", "size_of"]

Config = dict[str, Any]
Size = Literal["num_hidden_layers", "hidden_size"]

Layers = Annotated[int, Field(ge=1, le=10_000)]
Width = Annotated[int, Field(ge=1, le=1 << 20)]
Token = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Packing(_Part):
    """How a module is quantized. mlx-lm's mixed recipes write null for a default."""

    bits: Annotated[int, Field(ge=1, le=8)] | None = None
    group_size: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    mode: str | None = None


class _Quantization(_Packing):
    """The packing of the model, and that of single modules by name; a switch instead of one leaves a module plain."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, _Packing | bool | int | str | list[Any] | None] = Field(init=False)


class _Sizes(_Part):
    num_hidden_layers: Layers | None = None
    hidden_size: Width | None = None
    rope_theta: float | list[Any] | dict[str, Any] | None = None  # some families have one for each layer
    rms_norm_eps: float | None = None


class _Config(_Sizes):
    """The keys that topcoat reads, and those that MLX reads only when it computes. mlx-lm checks others at load."""

    model_type: Annotated[str, Field(min_length=1)]
    text_config: _Sizes | None = None
    quantization: _Quantization | None = None
    quantization_config: dict[str, Any] | None = None
    eos_token_id: Token | list[Token] | None = None


def read_config(folder: Path) -> Config:
    """The model's `config.json`, as it is. Raises InvalidInput if the folder isn't a model, or with every value that
    no model has.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise InvalidInput(f"no such model: {folder}", hint="topcoat status lists the models of this project")
    if not path.is_file():
        raise InvalidInput(
            f"{folder} is not a model: it has no config.json",
            hint="python -m mlx_lm convert --hf-path MODEL --mlx-path FOLDER -q",
        )
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"config.json is not JSON: {error}", where=Where(path)) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise InvalidInput("config.json names no model_type", where=Where(path))
    try:
        _Config.model_validate(config)
    except ValidationError as error:
        raise InvalidInput.collect(str(path), _mistakes(error, config, Where(path))) from error
    return config


def _mistakes(error: ValidationError, config: Config, where: Where) -> list[Mistake]:
    """One mistake for each wrong value, though a value that may have several types fails each of them."""
    wrong: dict[str, Any] = {}
    for found in error.errors():
        value: Any = config
        names = []
        for part in found["loc"]:
            if isinstance(value, dict) and part in value:
                names.append(str(part))
                value = value[part]
        wrong[".".join(names)] = value
    inner = [name for name in wrong if not any(other.startswith(f"{name}.") for other in wrong)]
    return [Mistake(f"{name} is {_shown(wrong[name])}, which no model has", where) for name in inner]


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def size_of(config: Config, key: Size, folder: Path) -> int:
    """A dimension of the model in `folder`. Models of text and images have it under text_config.

    Where the configuration spells it otherwise, or leaves out a default, it is that of the model that mlx-lm makes of
    the folder. Raises InvalidInput if there is none.
    """
    value = (config.get("text_config") or config).get(key)
    if isinstance(value, int):
        return value
    path = folder / "config.json"
    try:
        return _sizes_made(folder, path.stat().st_mtime_ns)[key]
    except Exception as error:  # mlx-lm raises ValueError, KeyError, RuntimeError ... for unusable models
        raise InvalidInput(
            f"config.json has no {key}, and mlx-lm makes no model of it: {error}", where=Where(path)
        ) from error


@lru_cache(maxsize=64)
def _sizes_made(folder: Path, modified: int) -> dict[Size, int]:
    """The sizes of the model that mlx-lm makes of a folder. Its weights aren't read."""
    model, _ = load_model(folder, lazy=True)
    tables = [module for _, module in model.named_modules() if isinstance(module, nn.Embedding | nn.QuantizedEmbedding)]
    words = max(tables, key=lambda table: table.weight.shape[0])  # others are of positions
    width = words.weight.shape[-1] * 32 // words.bits if "scales" in words else words.weight.shape[-1]
    return {"num_hidden_layers": len(model.layers), "hidden_size": int(width)}


def context_of(config: Config) -> int | None:
    """The tokens that the model was made for, scaling of positions included; None if the configuration doesn't say."""
    value = (config.get("text_config") or config).get("max_position_embeddings")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def quantization_of(config: Config) -> Config:
    """The quantization that mlx-lm wrote; empty for a model that it didn't quantize."""
    return config.get("quantization") or {}
