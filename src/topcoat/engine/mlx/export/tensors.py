"""A model's weights as numbers, one tensor at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from topcoat.engine.mlx.model.folder import unpacked_weight
from topcoat.engine.mlx.model.lora import Weights
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import Numbers

__all__ = ["Packing", "Source", "rounding_of", "width_of"]

_WIDE: dict[Numbers, mx.Dtype] = {"bf16": mx.bfloat16, "f16": mx.float16, "f32": mx.float32}

_PACKED = ("scales", "biases", "global_scale")
"""What a packed weight has beside its codes."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a module is quantized: bits, group size and MLX's mode."""

    bits: int
    group_size: int
    mode: str


class Source:
    """The tensors of a model folder under mlx-lm's names. `names` are those of all weights, in order.

    A tensor is given away when it is read, because an array keeps its data: one is in memory at a time. `args` are the
    model's sizes as mlx-lm has them, with its defaults.
    """

    def __init__(self, folder: Path) -> None:
        model, _ = load_model(folder, lazy=True)
        self.args = model.args
        self.packing = {
            name: Packing(module.bits, module.group_size, getattr(module, "mode", "affine"))
            for name, module in model.named_modules()
            if hasattr(module, "bits") and hasattr(module, "group_size")
        }
        self._tensors: Weights = dict(sorted(tree_flatten(model.parameters())))
        self.names = [name for name in self._tensors if name.rpartition(".")[2] not in ("scales", "biases")]
        self.names = [name for name in self.names if not name.endswith(".global_scale")]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight, unpacked. Nothing is read."""
        shape = tuple(self._tensors[name].shape)
        packing = self.packing_of(name)
        return (*shape[:-1], shape[-1] * 32 // packing.bits) if packing else shape

    def dtype(self, name: str) -> mx.Dtype:
        """The dtype in which the model computes with a weight: of a packed one, that of its scales."""
        packing = self.packing_of(name)
        if packing is None:
            return self._tensors[name].dtype
        scales = self._tensors[f"{name.removesuffix('.weight')}.scales"].dtype
        return scales if mx.issubdtype(scales, mx.floating) else mx.bfloat16

    def packing_of(self, name: str) -> Packing | None:
        """How the module of a weight is quantized; None if it isn't, and for biases."""
        return self.packing.get(name.removesuffix(".weight")) if name.endswith(".weight") else None

    def peek(self, name: str) -> Weights:
        """The scales and biases of a packed weight. They stay in memory until it is taken."""
        module = name.removesuffix(".weight")
        return {part: self._tensors[f"{module}.{part}"] for part in _PACKED if f"{module}.{part}" in self._tensors}

    def take(self, name: str) -> Weights:
        """The stored tensors of a weight by their last names: one, or a packed one with its scales and biases."""
        if self.packing_of(name) is None:
            return {"weight": self._tensors.pop(name)}
        module = name.removesuffix(".weight")
        parts = ("weight", *_PACKED)
        return {part: self._tensors.pop(f"{module}.{part}") for part in parts if f"{module}.{part}" in self._tensors}

    def numbers(self, name: str, taken: Weights) -> mx.array:
        """A weight as the model computes with it when it is dequantized, float32."""
        packing = self.packing_of(name)
        if packing is None:
            return taken["weight"].astype(mx.float32)
        return unpacked_weight(taken, group_size=packing.group_size, bits=packing.bits, mode=packing.mode)


def width_of(source: Source, name: str, numbers: Numbers) -> mx.Dtype:
    """The dtype in which a weight is written in full precision: the model's own, unless another is asked for."""
    return _WIDE.get(numbers) or source.dtype(name)


def rounding_of(written: mx.array, exact: mx.array) -> float:
    """The rms of `written` - `exact`, as a share of the rms of `exact`; 0 if nothing was rounded."""
    apart = scalar(mx.square(written.astype(mx.float32) - exact).sum())
    return (apart / whole) ** 0.5 if apart and (whole := scalar(mx.square(exact).sum())) else 0.0
