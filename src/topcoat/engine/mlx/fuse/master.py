"""Adapted modules: their masters, their permitted bits, and the survival of a delta at these bits.

A module's master is the root's dequantized weight plus every promoted delta, in float32, computed from small adapter
files. Quantizing the base's own weight again would round a small delta away, because the weight is on a grid already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear

from topcoat.engine.mlx.fuse.rounding import compensated_codes
from topcoat.engine.mlx.model.codes import pack
from topcoat.engine.mlx.model.folder import unpacked_weight
from topcoat.engine.mlx.model.lora import MAGNITUDES, Weights, adapter_weights, read_adapter
from topcoat.engine.mlx.model.stored import StoredTensors
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import FuseJob, RebuildJob
from topcoat.errors import EngineFault, InvalidInput, Where
from topcoat.spec.phase import Bits, FuseSpec

__all__ = [
    "AdaptedModule",
    "Master",
    "adapted_modules",
    "input_width",
    "plain_weight",
    "read_coat",
    "require_fusable",
]

LADDER: tuple[Bits, ...] = (2, 3, 4, 5, 6, 8, None)
"""Bits per weight in rising order; None is unquantized."""
Packed = tuple[mx.array, mx.array, mx.array]
"""Codes in uint32 words, scales and biases, as `mx.quantize` returns them."""
_FLOATING_MODES: dict[tuple[int | None, int | None], str] = {(4, 32): "mxfp4", (4, 16): "nvfp4", (8, 32): "mxfp8"}
"""MLX's modes without biases, by bits and group size. Modules fused on such a base are written in the affine mode."""
ADAPTERS = (LoRALinear, LoRASwitchLinear, LoRAEmbedding, DoRALinear)
"""The adapters that can be fused."""
_BEGAN = "began"
AUTO_STEPS: tuple[Bits, ...] = (5, 6, 8, None)
"""The bits that `bits = "auto"` tries after the module's own bits."""


@dataclass(slots=True)
class AdaptedModule:
    """One adapted module, and the bits to pack it with. `kind` is the class of its adapter.

    With the second moments of its inputs (in, in), rounding is compensated. Without them, it is to nearest.
    """

    name: str
    kind: type[nn.Module]
    width: int
    dtype: mx.Dtype
    group_size: int | None
    base_bits: Bits
    choices: list[Bits]
    root: StoredTensors
    adapters: list[tuple[dict[str, Any], Weights]]
    choice: int = 0
    moments: mx.array | None = None

    @property
    def bits(self) -> Bits:
        """The currently chosen bits."""
        return self.choices[self.choice]

    def raise_bits(self) -> bool:
        """Go to the next higher permitted bits; False if there are none."""
        if self.choice + 1 == len(self.choices):
            return False
        self.choice += 1
        return True

    def master(self) -> Master:
        """The weight at full precision, computed at each call. Hold one at a time, because all together are large."""
        weight = plain_weight(self.name, self.root.read(self.name), self.width)
        delta = mx.zeros_like(weight)
        for config, weights in self.adapters:
            if f"{self.name}.lora_a" in weights:
                before = weight
                scale = float(config["lora_parameters"]["scale"])
                delta = _delta(self.kind, weights, self.name, scale)
                weight = before + delta
                if f"{self.name}.m" in weights:
                    weight = _of_magnitude(before, weight, self.name, weights)
                    delta = weight - before
        mx.eval(weight, delta)
        return Master(self, weight, delta)


@dataclass(frozen=True, slots=True)
class Master:
    """A module's master, float32. `weight` includes the last delta; `delta` is that delta alone."""

    module: AdaptedModule
    weight: mx.array
    delta: mx.array
    _packed: dict[int, Packed] = field(default_factory=dict)

    def packed(self) -> Weights:
        """The module's tensors as they are written."""
        name, bits = self.module.name, self.module.bits
        if bits is None:
            return {f"{name}.weight": self.weight.astype(self.module.dtype)}
        weight, scales, biases = self._quantized(bits)
        return {f"{name}.weight": weight, f"{name}.scales": scales, f"{name}.biases": biases}

    def fused_weight(self) -> mx.array:
        """The weight that the fused model will compute with, float32."""
        if self.module.bits is None:
            return self.weight.astype(self.module.dtype).astype(mx.float32)
        weight, scales, biases = self._quantized(self.module.bits)
        return mx.dequantize(
            weight,
            scales.astype(mx.float32),
            biases.astype(mx.float32),
            group_size=self.module.group_size,
            bits=self.module.bits,
        )

    def survival(self) -> float:
        """The actual change, projected on the intended change: <fused - (master - delta), delta> / <delta, delta>.

        It is that of the weights or, with compensated rounding, that of the outputs, which this rounding keeps.
        """
        meant = self.delta if self.module.moments is None else self.delta @ self.module.moments
        norm = scalar((self.delta * meant).sum())
        if norm == 0.0:
            return 1.0
        change = self.fused_weight() - (self.weight - self.delta)
        return scalar((change * meant).sum()) / norm

    def step(self) -> float | None:
        """The rms of the written grid's steps. None if the module is unquantized."""
        if self.module.bits is None:
            return None
        return scalar(self._quantized(self.module.bits)[1].astype(mx.float32).square().mean().sqrt())

    def codes_changed(self) -> float | None:
        """The share of codes that the delta changed at the chosen bits. None if the module is unquantized."""
        bits = self.module.bits
        if bits is None:
            return None
        with_delta, without = self._quantized(bits), self._to_nearest(self.weight - self.delta, bits)
        changed = self._codes(*with_delta[:2], bits) != self._codes(*without[:2], bits)
        return scalar(changed.astype(mx.float32).mean())

    def _codes(self, packed: mx.array, scales: mx.array, bits: int) -> mx.array:
        """The integers in a packed weight, one a weight."""
        ones = mx.ones(scales.shape)
        return mx.dequantize(packed, ones, mx.zeros_like(ones), group_size=self.module.group_size, bits=bits)

    def _quantized(self, bits: int) -> Packed:
        """The master's codes, scales and biases."""
        if bits not in self._packed:
            codes, scales, biases = self._to_nearest(self.weight, bits)
            if self.module.moments is not None:
                plain, steps, lows, moments = (
                    np.array(array.astype(mx.float32)) for array in (self.weight, scales, biases, self.module.moments)
                )
                codes = mx.array(pack(compensated_codes(plain, steps, lows, bits, moments), bits))
            self._packed[bits] = codes, scales, biases
        return self._packed[bits]

    def _to_nearest(self, plain: mx.array, bits: int) -> Packed:
        module = self.module
        if module.group_size is None:
            raise EngineFault(f"{module.name}: rows of {module.width} weights can't be quantized in groups")
        codes, scales, biases = mx.quantize(plain.astype(module.dtype), group_size=module.group_size, bits=bits)
        return codes, scales, biases


def adapted_modules(model: nn.Module, job: FuseJob | RebuildJob) -> list[AdaptedModule]:
    """Every module of `model` with an adapter, by name. `model` is the base with the last adapter attached."""
    adapters = [read_coat(folder) for folder in job.adapters]
    root, base = StoredTensors(job.root), StoredTensors(job.base)
    modules = []
    for name, module in _wrapped(model):
        width = input_width(module)
        _require_stored(name, module, root)
        tensors = _require_stored(name, module, base)
        bits, group_size = _quantization(name, tensors, width)
        dtype = tensors[f"{name}.scales" if bits else f"{name}.weight"].dtype
        if bits and f"{name}.biases" not in tensors:  # a floating-point mode, whose scales are 8-bit exponents
            dtype, group_size = base.dtype(), _group(width)
        modules.append(
            AdaptedModule(
                name,
                type(module),
                width,
                dtype,
                group_size or _group(width),
                bits,
                _bits_of_job(name, job, bits),
                root,
                adapters,
            )
        )
    return modules


def require_fusable(model: nn.Module, folder: Path, spec: FuseSpec | None) -> None:
    """Raise unless the adapters on `model`, which was loaded from `folder`, can be fused as `spec` says.

    Only shapes are read, so it can be known before training. None as `spec` asks for no certain bits. Raises
    InvalidInput for a spec, EngineFault for a folder that can't be fused.
    """
    stored = StoredTensors(folder)
    for name, module in _wrapped(model):
        width = input_width(module)
        tensors = _require_stored(name, module, stored)
        plain_weight(name, tensors, width)
        bits, group_size = _quantization(name, tensors, width)
        wanted = _choices(name, spec, bits)[0] if spec else None
        if wanted is not None and (group_size or _group(width)) is None:
            raise InvalidInput(
                f"{name} has rows of {width} weights, which can't be quantized in groups of 32 or 64",
                hint=f'"{name}" = "none" under [fuse.modules]',
            )


def _wrapped(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules with an adapter, by name. Raises InvalidInput if another has one that can't be fused."""
    wrapped = {name: module for name, module in model.named_modules() if isinstance(module, ADAPTERS)}
    other = next((name for name in adapter_weights(model) if name.rpartition(".")[0] not in wrapped), None)
    if other is not None:
        raise InvalidInput(
            f"{other} belongs to a module of a kind of its own, which can't be fused",
            hint=f"keys = {json.dumps(sorted({_key(name) for name in wrapped}))} under [train.lora]",
        )
    return sorted(wrapped.items())


def _key(name: str) -> str:
    """A module's name within its layer, as mlx-lm's `keys` have it."""
    return re.sub(r"^.*layers\.\d+\.", "", name)


def _require_stored(name: str, module: nn.Module, stored: StoredTensors) -> Weights:
    """The module's stored tensors. Raises EngineFault if there are none that fit the model's."""
    tensors = stored.read(name)
    weight = tensors.get(f"{name}.weight")
    plain = f"{name}.scales" not in tensors
    inner = module.embedding if isinstance(module, LoRAEmbedding) else module.linear
    quantized = "scales" in inner
    if weight is None or (plain and not quantized and weight.shape != inner.weight.shape):
        raise EngineFault(
            f"{stored.folder.name} stores no {name}.weight as mlx-lm computes with it",
            where=Where(stored.folder),
            hint=f"python -m mlx_lm convert --hf-path '{stored.folder}' --mlx-path NEW_FOLDER",
        )
    return tensors


def input_width(module: nn.Module) -> int:
    """The last dimension of the module's plain weight, from the shapes of its adapter."""
    if isinstance(module, LoRAEmbedding):
        return int(module.lora_b.shape[-1])
    if isinstance(module, LoRASwitchLinear):
        return int(module.lora_a.shape[-1])
    return int(module.lora_a.shape[0])


def _quantization(name: str, tensors: Weights, width: int) -> tuple[int | None, int | None]:
    """Bits and group size of a stored module, from its shapes. None for a plain one."""
    if f"{name}.scales" not in tensors:
        return None, None
    return (
        tensors[f"{name}.weight"].shape[-1] * 32 // width,
        width // tensors[f"{name}.scales"].shape[-1],
    )


def _group(width: int) -> int | None:
    """The widest usual group that divides a plain weight's rows. None if it can't be quantized."""
    return next((size for size in (64, 32) if width % size == 0), None)


def plain_weight(name: str, tensors: Weights, width: int) -> mx.array:
    """A stored module's weight in float32."""
    weight = tensors[f"{name}.weight"]
    bits, group_size = _quantization(name, tensors, width)
    if bits is None:
        return weight.astype(mx.float32)
    own = {part.rpartition(".")[2]: value for part, value in tensors.items()}
    if "biases" in own:
        scales, biases = own["scales"].astype(mx.float32), own["biases"].astype(mx.float32)
        return mx.dequantize(own["weight"], scales, biases, group_size=group_size, bits=bits)
    mode = _FLOATING_MODES.get((bits, group_size))
    if mode is None:
        raise EngineFault(f"{name} is quantized with {bits} bits in groups of {group_size} in an unknown mode")
    return unpacked_weight(own, group_size=group_size, bits=bits, mode=mode)


def _delta(kind: type[nn.Module], weights: Mapping[str, mx.array], name: str, scale: float) -> mx.array:
    """What the adapter adds to the module's weight, float32, by the same products as mlx-lm's `fuse` methods."""
    a, b = weights[f"{name}.lora_a"].astype(mx.float32), weights[f"{name}.lora_b"].astype(mx.float32)
    if kind is LoRAEmbedding:
        return (scale * a) @ b
    if kind is LoRASwitchLinear:
        return (scale * b) @ a
    return (scale * b.T) @ a.T


def _of_magnitude(before: mx.array, moved: mx.array, name: str, weights: Weights) -> mx.array:
    """`moved` (out, in) with rows as long as those of `before`, times the change of magnitude that a DoRA learned.

    On its own base that is what mlx-lm's DoRALinear computes: rows of length `m`. A master's rows are slightly longer
    or shorter than those of the quantized base that the DoRA was trained on, and that difference wasn't learned.
    """
    lengths = mx.linalg.norm(before, axis=1)
    began = weights.get(f"{name}.{_BEGAN}", lengths)
    change = weights[f"{name}.m"].astype(mx.float32) / began
    return (change * lengths / mx.linalg.norm(moved, axis=1))[:, None] * moved


def read_coat(folder: Path) -> tuple[dict[str, Any], Weights]:
    """An adapter's configuration and weights, among them the magnitudes with which it began."""
    config, weights = read_adapter(folder)
    path = folder / MAGNITUDES
    if not path.is_file():
        return config, weights
    began = mx.load(str(path))
    assert isinstance(began, dict)
    return config, weights | {f"{name.rpartition('.')[0]}.{_BEGAN}": value for name, value in began.items()}


def _bits_of_job(name: str, job: FuseJob | RebuildJob, base_bits: Bits) -> list[Bits]:
    """The permitted bits of this module: those of its first fuse if it is made again."""
    if isinstance(job, FuseJob):
        return _choices(name, job.spec, base_bits)
    if name not in job.bits:
        raise EngineFault(f"{name} has an adapter, but it isn't said how many bits it was fused with")
    return [job.bits[name]]


def _choices(name: str, spec: FuseSpec, base_bits: Bits) -> list[Bits]:
    """The permitted bits of this module, in the order to try them."""
    wanted = spec.modules_bits(name)
    if wanted == "none":
        return [None]
    if wanted != "auto":
        return [wanted]
    if base_bits is None:
        return [None]
    return [base_bits, *(b for b in AUTO_STEPS if LADDER.index(b) > LADDER.index(base_bits))]
