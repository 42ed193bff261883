"""The memory that models may take, and reading their weights into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.utils import maybe_set_recommended_wired_limit

from topcoat.engine.host_memory import host_memory_use
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.protocol import MemoryUse
from topcoat.errors import EngineFault, InvalidInput

__all__ = [
    "hold",
    "machine_memory",
    "memory_limit",
    "memory_use",
    "require_room",
    "require_room_for_training",
    "wired",
]


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit() -> int:
    """Bytes that MLX can use: the system's recommendation (Metal), the card's memory (CUDA), or the machine's."""
    device = mx.device_info()
    for key in ("max_recommended_working_set_size", "total_memory", "memory_size"):
        if device.get(key):
            return int(device[key])
    return machine_memory()


def memory_use() -> MemoryUse | None:
    """What this process has taken at most of the memory that MLX computes in, and what is free of it.

    None if neither MLX nor the system says it.
    """
    device = mx.device_info()
    peak = max(mx.get_peak_memory(), mx.get_active_memory() + mx.get_cache_memory())
    if "free_memory" in device:  # a CUDA card has memory of its own; MLX asks the driver anew each time
        return MemoryUse(peak, int(device["free_memory"]))
    host = host_memory_use()
    if host is None:
        return None
    free = host.free
    if most := device.get("max_recommended_working_set_size"):  # Metal doesn't compute in all of the memory
        free = min(free, max(0, int(most) - mx.get_active_memory()))
    return MemoryUse(max(host.taken, peak), free)


def require_room(model: nn.Module, compute: Compute, *, training: bool = False) -> None:
    """Raise EngineFault if the weights of `model` don't fit into memory. It reads none of them.

    `compute` and `training` decide what the hint says.
    """
    needed = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    limit = memory_limit()
    if needed > limit:
        raise EngineFault(
            f"the weights to be held take {needed / 1e9:.1f} GB, and there are {limit / 1e9:.1f} GB of memory",
            hint=" or ".join(
                [
                    *(["a lower num_layers in [train]"] if training else []),
                    *(["topcoat --compute as-stored COMMAND"] if compute is Compute.DEQUANTIZED else []),
                    "a smaller base, or one of fewer bits",
                ]
            ),
        )


def require_room_for_training(model: nn.Module) -> None:
    """Raise InvalidInput if the trainable parameters of `model`, their gradients and an optimizer's two states for each
    don't fit into memory. It computes none of them.
    """
    needed = 4 * sum(array.nbytes for _, array in tree_flatten(model.trainable_parameters()))
    if needed > memory_limit():
        raise InvalidInput(
            f"training the adapter takes {needed / 1e9:.1f} GB, and there are {memory_limit() / 1e9:.1f} GB of memory",
            hint="a lower rank under [train.lora]",
        )


def hold(model: nn.Module, compute: Compute, *, training: bool = False) -> None:
    """Read all weights of `model` into memory, module by module, because dequantizing takes twice a module's memory.

    Raises EngineFault, before it reads anything, if they don't fit.
    """
    require_room(model, compute, training=training)
    for _, module in tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module):
        mx.eval(module.parameters())
    mx.eval(model.parameters())


@contextmanager
def wired() -> Iterator[None]:
    """Let Metal keep as much memory resident as the system recommends, as mlx-lm's trainer and generator do.

    On other devices nothing changes.
    """
    before = maybe_set_recommended_wired_limit()
    try:
        yield
    finally:
        if before is not None:
            mx.synchronize()
            mx.set_wired_limit(before)
