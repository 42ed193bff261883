"""Model folders: describes them, computes their digest, and loads them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.utils
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.utils import load_model

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu.blas import set_threads
from topcoat.engine.mlx.cpu.cores import usable_cores
from topcoat.engine.mlx.cpu.quicken import on_cpu
from topcoat.engine.mlx.model.config import Config, context_of, quantization_of, read_config, size_of
from topcoat.engine.mlx.model.memory import hold, memory_limit
from topcoat.engine.mlx.model.tokenizer import CLOCK, MlxTokenizer
from topcoat.engine.protocol import ModelInfo
from topcoat.errors import EngineFault, InvalidInput, StorageFault, Where
from topcoat.store.tensor_file import read_header

__all__ = ["THREADED_WIDTH", "Loaded", "dequantize", "describe", "load", "locate", "set_threads_for", "unpacked_weight"]

Quantized = (nn.QuantizedLinear, nn.QuantizedEmbedding, QuantizedSwitchLinear)

_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")

THREADED_WIDTH = 512
"""The least width for more than one CPU thread. Two threads gained nothing on the embedded model (192 wide)."""


_TEMPLATES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
_FETCHED = ["*.json", "model*.safetensors", "*.jinja", "*.txt", "*.model", "*.tiktoken"]
"""What is fetched of a model on the hub: all that mlx-lm fetches, but no Python code."""


@dataclass(slots=True)
class Loaded:
    """A model in memory."""

    model: nn.Module
    config: Config
    tokenizer: MlxTokenizer


def locate(model: Path | str) -> Path:
    """A model's folder. A text is a Hugging Face id: weights, configuration and tokenizer go into the hub's own cache.

    Raises EngineFault if it can't be fetched.
    """
    if isinstance(model, Path):
        return model
    try:
        return Path(snapshot_download(model, allow_patterns=_FETCHED))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise EngineFault(
            f"{model} is no folder here and can't be fetched from Hugging Face: {first_line}",
            hint='base = "models/FOLDER" in topcoat.toml',
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that mlx-lm loads, sorted. Raises InvalidInput if there are none."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise InvalidInput(f"{folder} has no model*.safetensors", hint="only safetensors models are loaded")
    return files


def describe(folder: Path) -> ModelInfo:
    """The model's shape, and a digest of every file that decides what it computes."""
    config = read_config(folder)
    return ModelInfo(
        architecture=str(config["model_type"]),
        num_layers=size_of(config, "num_hidden_layers", folder),
        hidden_size=size_of(config, "hidden_size", folder),
        bits=quantization_of(config).get("bits"),
        digest=_digest(folder),
        size=sum(path.stat().st_size for path in weight_files(folder)),
        mlp=_MLP if _has(folder, _MLP) else (),
        dated=any(CLOCK.encode() in path.read_bytes() for name in _TEMPLATES if (path := folder / name).is_file()),
        context=context_of(config),
    )


def _has(folder: Path, modules: Sequence[str]) -> bool:
    """Whether layers of the model have all these modules and no experts. False if a file can't be read."""
    names: set[str] = set()
    with contextlib.suppress(StorageFault):
        names = {name for path in weight_files(folder) for name in read_header(path).tensors}
    experts = any("expert" in name or "switch_mlp" in name for name in names)
    return not experts and all(any(name.endswith(f".{module}.weight") for name in names) for module in modules)


def load(folder: Path, compute: Compute, *, lazy: bool = False, held: int = -1) -> Loaded:
    """Load a model and its tokenizer, to compute as `compute` says.

    `lazy` reads no weights yet; each is read when a result needs it. `held` is the number of last layers that will stay
    in memory (-1: all). If they would take more than half of the machine's memory dequantized, their experts stay
    quantized, which is slow but possible.

    Raises InvalidInput for a folder that isn't a model, EngineFault if mlx-lm can't load it or it doesn't fit. Code in
    a model folder is never executed.
    """
    config = read_config(folder)
    weight_files(folder)
    try:
        with _groups_checked():
            model, config = load_model(folder, lazy=True)
    except Exception as error:  # mlx-lm raises ValueError, KeyError, RuntimeError ... for unusable models
        raise EngineFault(f"mlx-lm can't load {folder.name}: {error}", where=Where(folder)) from error
    if not hasattr(model, "_no_grad"):
        nn.Module.__init__(model)  # recurrent_gemma's own __init__ leaves this out, and nothing could be frozen
    if on_cpu():
        set_threads_for(size_of(config, "hidden_size", folder))
    if compute is Compute.DEQUANTIZED:
        dequantize(model, held=held)
    if not lazy:
        hold(model, compute)
    return Loaded(model, config, MlxTokenizer(folder, config.get("eos_token_id")))


@contextlib.contextmanager
def _groups_checked() -> Iterator[None]:
    """During the block, mlx-lm raises where a config's sizes are smaller than its quantized weights have groups.

    It would quantize in groups of 0, which ends the process with a signal.
    """
    stock = mlx_lm.utils.infer_quant_config

    def checked(path: str, module: nn.Module, weights: dict[str, mx.array]) -> Config:
        packing: Config = stock(path, module, weights)
        if packing["group_size"] == 0 or packing["bits"] == 0:
            raise ValueError(f"{path} has {module.weight.shape[-1]} inputs in config.json and more in its weights")
        return packing

    mlx_lm.utils.infer_quant_config = checked
    try:
        yield
    finally:
        mlx_lm.utils.infer_quant_config = stock


def set_threads_for(width: int) -> None:
    """Set the number of threads for CPU products of a model of this `width`.

    The number depends on the model and the process's cores alone, because it may decide how a product is rounded.
    """
    set_threads(1 if width < THREADED_WIDTH else usable_cores())


def dequantize(model: nn.Module, *, held: int = -1) -> None:
    """Make a model compute in float32. `held` is as in `load`."""
    fits = _float32_bytes(model.layers[-held:] if held >= 0 else model.layers) <= memory_limit() // 2
    _dequantize(model, experts=fits)


def _float32_bytes(layers: Sequence[nn.Module]) -> int:
    """The bytes of layers in float32."""
    values = 0.0
    for layer in layers:
        for _, module in tree_flatten(layer.leaf_modules(), is_leaf=nn.Module.is_module):
            packed = 32 / module.bits if isinstance(module, Quantized) else 1.0
            values += module["weight"].size * packed if "weight" in module else 0.0
    return int(4 * values)


def _dequantize(model: nn.Module, *, experts: bool) -> None:
    """Replace quantized modules by float32 ones that compute the same products, and cast the rest to float32.

    An embedding that isn't also the head stays quantized, because it only looks up rows.
    """
    head_apart = "lm_head" in model

    def plain(module: nn.Module) -> nn.Module:
        if not isinstance(module, Quantized):
            return module
        if isinstance(module, QuantizedSwitchLinear) and not experts:
            return module
        if isinstance(module, nn.QuantizedEmbedding) and head_apart:
            return module
        weight = unpacked_weight(module, group_size=module.group_size, bits=module.bits, mode=module.mode)
        replacement: nn.Module
        if isinstance(module, nn.QuantizedEmbedding):
            replacement = nn.Embedding(1, 1)
        elif isinstance(module, QuantizedSwitchLinear):
            replacement = SwitchLinear(1, 1, 1, bias="bias" in module)
        else:
            replacement = nn.Linear(1, 1, bias="bias" in module)
        replacement.weight = weight
        if "bias" in module:
            replacement.bias = module.bias
        return replacement

    leaves = tree_map(plain, model.leaf_modules(), is_leaf=nn.Module.is_module)
    model.update_modules(leaves)
    model.set_dtype(mx.float32)


def unpacked_weight(
    tensors: Mapping[str, mx.array], *, group_size: int | None, bits: int | None, mode: str
) -> mx.array:
    """A quantized module's weight in float32. `tensors` are the module's own, by their last names."""
    packed, scales, biases = tensors["weight"], tensors["scales"], tensors.get("biases")
    unpack = partial(mx.dequantize, group_size=group_size, bits=bits, mode=mode)
    whole = tensors.get("global_scale")
    if whole is None:
        return unpack(packed, scales, biases).astype(mx.float32)
    if whole.size == 1:
        return unpack(packed, scales, global_scale=whole).astype(mx.float32)
    experts = [unpack(packed[i], scales[i], global_scale=whole[i]).astype(mx.float32) for i in range(whole.size)]
    return mx.stack(experts)


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, modified: int) -> str:
    """sha256 of a file. This process remembers it until the file's size or time changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(folder: Path) -> str:
    """sha256 over the digests of weights, config and tokenizer, by file name."""
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
    total = hashlib.sha256()
    for path in [*(folder / name for name in names), *weight_files(folder)]:
        if path.is_file():
            stat = path.stat()
            total.update(f"{path.name} {_file_digest(path.resolve(), stat.st_size, stat.st_mtime_ns)}\n".encode())
    return total.hexdigest()
