"""Adapters that see little of what earlier data gives them.

`lora_a` is projected onto the directions that replayed rows don't use, and then stays as it is (InfLoRA, Liang and Li
2024, arXiv 2404.00228). So the coat changes these rows little, whatever `lora_b` learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.tuner.lora import LoRALinear

from topcoat.engine.mlx.train.forward import SplitForward
from topcoat.engine.mlx.train.interception import Call, intercepted
from topcoat.engine.protocol import Row

__all__ = ["keeping_a", "project"]

ENERGY = 0.95
"""So much of the squared length of the replayed rows' inputs lies in the directions that are taken out."""


def _adapters(model: nn.Module) -> list[Any]:
    return [module for _, module in sorted(model.named_modules()) if isinstance(module, LoRALinear)]


def project(model: nn.Module, forward: SplitForward, rows: Sequence[Row]) -> float:
    """Project every `lora_a` (inputs, rank), which keeps its length. The mean share of directions taken out."""
    adapters = _adapters(model)
    squares: dict[int, Any] = {}

    def seen(call: Call) -> Any:
        inputs = call.given[0].reshape(-1, call.given[0].shape[-1]).astype(mx.float32)
        squares[call.index] = squares.get(call.index, 0.0) + inputs.T @ inputs
        return call.function(call.module, *call.given, **call.named)

    for row in rows:
        with intercepted(adapters, seen):
            tokens, queries, chosen, _, _, *values = forward.arrays([row])
            mx.eval(forward.states(tokens, queries, chosen, values))
        mx.eval(list(squares.values()))
    shares = []
    for index, total in squares.items():
        lengths, directions = np.linalg.eigh(np.array(total, np.float64))
        taken = np.cumsum(lengths[::-1]) / lengths.sum() < ENERGY
        used = directions[:, ::-1][:, : int(taken.sum()) + 1]
        before = np.array(adapters[index].lora_a, np.float64)
        after = before - used @ (used.T @ before)
        after *= np.linalg.norm(before) / np.linalg.norm(after)
        adapters[index].lora_a = mx.array(after.astype(np.float32))
        shares.append(used.shape[1] / len(lengths))
    return float(np.mean(shares))


@contextmanager
def keeping_a(model: nn.Module) -> Iterator[None]:
    """Within the block, `lora_a` gets no gradient. Adam then leaves it as it is."""

    def held(call: Call) -> Any:
        own = call.module.lora_a
        call.module.lora_a = mx.stop_gradient(own)
        try:
            return call.function(call.module, *call.given, **call.named)
        finally:
            call.module.lora_a = own

    with intercepted(_adapters(model), held):
        yield
