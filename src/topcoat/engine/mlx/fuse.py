"""Fusing an adapter into quantized weights so that its delta survives.

An adapted module is quantized from its master: the root's dequantized weight plus every promoted delta, in float32. The
base's own grid, onto which its last weights were rounded, would round a small delta away again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear

from topcoat.engine.base import FuseJob, Row
from topcoat.engine.mlx.lora import Weights, load_adapter, read_adapter
from topcoat.engine.mlx.loss import batch_arrays
from topcoat.engine.mlx.model import Loaded, weight_files
from topcoat.engine.mlx.scalar import scalar
from topcoat.engine.mlx.shards import Shard, write_replaced
from topcoat.errors import EngineFault, FuseRefused
from topcoat.progress import Sink, task
from topcoat.records import FuseReport, ModuleFuse
from topcoat.store.files import staged_folder, write_json

__all__ = ["fuse"]

LADDER: tuple[int | None, ...] = (2, 3, 4, 5, 6, 8, None)
"""Bits per weight in rising order; None is unquantized."""
AUTO_STEPS: tuple[int | None, ...] = (5, 6, 8, None)
"""What `bits = "auto"` tries after the module's own bits."""
KL_TOKENS = 1024
"""The fused model is compared on at most this many tokens: its logits are kept for each of them."""


@dataclass(slots=True)
class _Module:
    """One adapted module. `master` (float32) holds the last delta; `delta` is that delta alone."""

    name: str
    kind: type[nn.Module]
    master: mx.array
    delta: mx.array
    dtype: mx.Dtype
    group_size: int | None
    base_bits: int | None
    choices: list[int | None]
    choice: int = 0

    @property
    def bits(self) -> int | None:
        return self.choices[self.choice]


def fuse(loaded: Loaded, job: FuseJob, sink: Sink) -> FuseReport:
    """Write `job.output` from `job.base` and the adapters. `loaded` is the base, which is changed.

    Raises FuseRefused if no permitted number of bits keeps `min_survival` and `max_kl`; then nothing is written.
    """
    load_adapter(loaded.model, job.adapters[-1])
    modules = _modules(loaded, job)
    with task(sink, "fuse", total=len(modules), unit="module") as progress:
        for done, module in enumerate(modules, 1):
            _settle_survival(module, job.spec.min_survival)
            progress.advance(done)
        kl = _settle_divergence(loaded.model, modules, job)
        progress.result = f"survival {min(_survival(m) for m in modules):.4f}, KL {kl:.5f} nats per token"
    copied, written = _write(modules, job)
    return FuseReport(
        modules=[_report(module) for module in modules], copied_tensors=copied, bytes_written=written, kl=kl
    )


def _modules(loaded: Loaded, job: FuseJob) -> list[_Module]:
    adapters = [read_adapter(folder) for folder in job.adapters]
    root, base = _lazy_tensors(job.root), _lazy_tensors(job.base)
    wrapped = {
        name: module
        for name, module in loaded.model.named_modules()
        if isinstance(module, LoRALinear | LoRASwitchLinear | LoRAEmbedding)
    }
    modules = []
    for name, module in sorted(wrapped.items()):
        inner = module.embedding if isinstance(module, LoRAEmbedding) else module.linear
        width = _input_width(module)
        for tensors, folder in ((root, job.root), (base, job.base)):
            if f"{name}.weight" not in tensors:
                raise EngineFault(
                    f"{folder.name} stores no {name}.weight: its weights are not in MLX's layout",
                    hint=f"python -m mlx_lm convert --hf-path '{folder}' --mlx-path NEW_FOLDER",
                )
        master = _plain(name, root, width)
        deltas = [
            _delta(type(module), weights, name, float(config["lora_parameters"]["scale"]))
            for config, weights in adapters
            if f"{name}.lora_a" in weights
        ]
        for delta in deltas:
            master = master + delta
        bits, group_size = _quantization(name, base, width)
        dtype = base[f"{name}.scales"].dtype if bits else base[f"{name}.weight"].dtype
        choices = _choices(name, job, bits, loaded.config.get("quantization", {}))
        mx.eval(master, deltas[-1])
        modules.append(
            _Module(name, type(inner), master, deltas[-1], dtype, group_size or _group(width), bits, choices)
        )
    return modules


def _lazy_tensors(folder: Path) -> Weights:
    """All tensors of a model, read from disk only when used."""
    tensors: Weights = {}
    for path in weight_files(folder):
        loaded = mx.load(str(path))
        assert isinstance(loaded, dict)
        tensors.update(loaded)
    return tensors


def _input_width(module: nn.Module) -> int:
    """The last dimension of the module's plain weight, from the shapes of its adapter."""
    if isinstance(module, LoRAEmbedding):
        return int(module.lora_b.shape[-1])
    if isinstance(module, LoRASwitchLinear):
        return int(module.lora_a.shape[-1])
    return int(module.lora_a.shape[0])


def _quantization(name: str, tensors: Weights, width: int) -> tuple[int | None, int | None]:
    """Bits and group size that a stored module was packed with, from its shapes; None for a plain one."""
    if f"{name}.scales" not in tensors:
        return None, None
    return (
        tensors[f"{name}.weight"].shape[-1] * 32 // width,
        width // tensors[f"{name}.scales"].shape[-1],
    )


def _group(width: int) -> int | None:
    """The widest usual group that divides a plain weight's rows; None if it can't be quantized."""
    return next((size for size in (64, 32) if width % size == 0), None)


def _plain(name: str, tensors: Weights, width: int) -> mx.array:
    """A stored module's weight in float32."""
    weight = tensors[f"{name}.weight"]
    bits, group_size = _quantization(name, tensors, width)
    if bits is None:
        return weight.astype(mx.float32)
    if f"{name}.biases" not in tensors:
        raise EngineFault(f"{name} is quantized in a mode other than affine, which can't be fused yet")
    scales, biases = tensors[f"{name}.scales"].astype(mx.float32), tensors[f"{name}.biases"].astype(mx.float32)
    return mx.dequantize(weight, scales, biases, group_size=group_size, bits=bits)


def _delta(kind: type[nn.Module], weights: Mapping[str, mx.array], name: str, scale: float) -> mx.array:
    """What the adapter adds to the module's weight, float32; the same products as mlx-lm's `fuse` methods."""
    a, b = weights[f"{name}.lora_a"].astype(mx.float32), weights[f"{name}.lora_b"].astype(mx.float32)
    if kind is LoRAEmbedding:
        return (scale * a) @ b
    if kind is LoRASwitchLinear:
        return (scale * b) @ a
    return (scale * b.T) @ a.T


def _choices(name: str, job: FuseJob, base_bits: int | None, config: Mapping[str, Any]) -> list[int | None]:
    """The numbers of bits that the spec permits for this module, in the order to try them."""
    if base_bits is None and job.spec.bits == "auto":
        return [None]
    if job.spec.bits == "auto":
        return [base_bits, *(b for b in AUTO_STEPS if LADDER.index(b) > LADDER.index(base_bits))]
    return [None] if job.spec.bits == "none" else [job.spec.bits]


def _quantized(module: _Module, bits: int) -> tuple[mx.array, mx.array, mx.array]:
    if module.group_size is None:
        raise EngineFault(f"{module.name}: rows of {module.master.shape[-1]} weights can't be quantized in groups")
    weight, scales, biases = mx.quantize(module.master.astype(module.dtype), group_size=module.group_size, bits=bits)
    return weight, scales, biases


def _fused_weight(module: _Module) -> mx.array:
    """The weight that the fused model will compute with, float32."""
    if module.bits is None:
        return module.master.astype(module.dtype).astype(mx.float32)
    weight, scales, biases = _quantized(module, module.bits)
    return mx.dequantize(
        weight,
        scales.astype(mx.float32),
        biases.astype(mx.float32),
        group_size=module.group_size,
        bits=module.bits,
    )


def _survival(module: _Module) -> float:
    """What changed, projected on what was meant to: <fused - (master - delta), delta> / <delta, delta>."""
    norm = scalar(module.delta.square().sum())
    if norm == 0.0:
        return 1.0
    change = _fused_weight(module) - (module.master - module.delta)
    return scalar((change * module.delta).sum()) / norm


def _settle_survival(module: _Module, minimum: float) -> None:
    """Raise the module's bits until its delta survives."""
    while (survival := _survival(module)) < minimum:
        if module.choice + 1 == len(module.choices):
            raise FuseRefused(
                f"{module.name}: {survival:.3f} of the delta survives at {module.bits} bits, {minimum} is required",
                hint='bits = "auto" in [fuse], or a higher learning rate',
            )
        module.choice += 1


def _settle_divergence(model: nn.Module, modules: list[_Module], job: FuseJob) -> float:
    """Raise bits until the fused model is within `max_kl` of base + adapter; returns the mean KL in nats per token."""
    rows = _first_tokens(job.valid, KL_TOKENS)
    if not rows:
        return 0.0
    intended = [_log_probabilities(model, row) for row in rows]
    while True:
        _replace(model, modules)
        kl = _mean_kl(intended, (_log_probabilities(model, row) for row in rows))
        if kl <= job.spec.max_kl:
            return kl
        raisable = [module for module in modules if module.choice + 1 < len(module.choices)]
        if not raisable:
            raise FuseRefused(
                f"the fused model differs from base + adapter by {kl:.4f} nats per token, "
                f"max_kl = {job.spec.max_kl} is allowed",
                hint='bits = "auto" in [fuse]',
            )
        for module in raisable:
            module.choice += 1


def _first_tokens(rows: Iterable[Row], limit: int) -> list[Row]:
    """The first rows whose trained tokens together stay within `limit`, and at least one."""
    chosen: list[Row] = []
    total = 0
    for row in rows:
        total += int(row.trained.sum())
        if chosen and total > limit:
            break
        chosen.append(row)
    return chosen


def _log_probabilities(model: nn.Module, row: Row) -> mx.array:
    """Log-probabilities over the vocabulary at the row's trained positions, float32 (positions, vocabulary)."""
    tokens, _ = batch_arrays([row])
    positions = mx.array(row.trained[1:].nonzero()[0])
    logits = model(tokens[:, :-1])[0][positions].astype(mx.float32)
    result = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.eval(result)
    return result


def _mean_kl(intended: list[mx.array], fused: Iterable[mx.array]) -> float:
    """Mean over tokens of KL(intended || fused) = sum p (log p - log q), in nats."""
    total, tokens = 0.0, 0
    for p, q in zip(intended, fused, strict=True):
        total += scalar((mx.exp(p) * (p - q)).sum())
        tokens += p.shape[0]
    return max(0.0, total / tokens)


def _replace(model: nn.Module, modules: list[_Module]) -> None:
    """Put the fused weights, dequantized, where the adapters were."""
    fused = []
    for module in modules:
        current = model
        for part in module.name.split("."):
            current = current[int(part)] if isinstance(current, list) else current[part]
        inner = current
        if isinstance(current, LoRAEmbedding):
            inner = current.embedding
        elif isinstance(current, LoRALinear | LoRASwitchLinear):
            inner = current.linear
        plain = _plain_module(inner)
        plain.weight = _fused_weight(module)
        fused.append((module.name, plain))
    model.update_modules(tree_unflatten(fused))
    mx.eval(model.parameters())


def _plain_module(inner: nn.Module) -> nn.Module:
    """An unquantized module of the same kind, with the same bias, whose weight is to be set."""
    if isinstance(inner, nn.Embedding | nn.QuantizedEmbedding):
        return nn.Embedding(1, 1)
    bias = "bias" in inner
    plain = nn.Linear(1, 1, bias=bias) if isinstance(inner, nn.Linear) else SwitchLinear(1, 1, 1, bias=bias)
    if bias:
        plain.bias = inner.bias
    return plain


def _write(modules: list[_Module], job: FuseJob) -> tuple[int, int]:
    """Write the model folder; returns the number of tensors kept byte for byte and the bytes written."""
    old_names = {f"{module.name}.{part}" for module in modules for part in ("weight", "scales", "biases")}
    copied = written = 0
    with staged_folder(job.output) as staged:
        shards = [Shard.open(path) for path in weight_files(job.base)]
        for shard in shards:
            replaced: Weights = {}
            for module in modules:
                if f"{module.name}.weight" in shard.tensors:
                    replaced.update(_stored(module))
            dropped = frozenset(old_names - replaced.keys())
            written += write_replaced(shard, staged / shard.path.name, replaced, dropped)
            copied += len(shard.tensors.keys() - old_names)
        for path in sorted(job.base.iterdir()):
            if path.is_file() and path not in [shard.path for shard in shards] and path.name != "config.json":
                shutil.copyfile(path, staged / path.name)
        _write_config(job.base, staged, modules)
        _write_index(staged)
    return copied, written


def _stored(module: _Module) -> Weights:
    """The module's tensors as they are written."""
    if module.bits is None:
        return {f"{module.name}.weight": module.master.astype(module.dtype)}
    weight, scales, biases = _quantized(module, module.bits)
    return {
        f"{module.name}.weight": weight,
        f"{module.name}.scales": scales,
        f"{module.name}.biases": biases,
    }


def _write_config(base: Path, staged: Path, modules: list[_Module]) -> None:
    """The base's config with a quantization entry for each module whose packing changed, as mlx-lm reads them."""
    config = json.loads((base / "config.json").read_bytes())
    for key in ("quantization", "quantization_config"):
        if key == "quantization_config" and key not in config:
            continue
        section = dict(config.get(key) or {})
        for module in modules:
            if module.bits is None and module.base_bits is not None:
                section[module.name] = False
            elif module.bits is not None:
                section.setdefault("group_size", module.group_size)
                section.setdefault("bits", module.bits)
                section[module.name] = {"group_size": module.group_size, "bits": module.bits}
        if section:
            config[key] = section
    write_json(staged / "config.json", config)


def _write_index(staged: Path) -> None:
    """Rewrite the index of tensors to files, where the model has one."""
    path = staged / "model.safetensors.index.json"
    if not path.exists():
        return
    index = json.loads(path.read_bytes())
    shards = [Shard.open(file) for file in weight_files(staged)]
    index["weight_map"] = {name: shard.path.name for shard in shards for name in shard.tensors}
    total = sum(t["data_offsets"][1] - t["data_offsets"][0] for shard in shards for t in shard.tensors.values())
    index.setdefault("metadata", {})["total_size"] = total
    write_json(path, index)


def _report(module: _Module) -> ModuleFuse:
    return ModuleFuse(
        name=module.name,
        bits=module.bits,
        delta_rms=scalar(module.delta.square().mean().sqrt()),
        weight_rms=scalar((module.master - module.delta).square().mean().sqrt()),
        survival=_survival(module),
    )
