"""Whether MLX runs on a CPU, and all that makes it quick there, for as long as something is computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx

from topcoat.engine.mlx.cpu import experts, fast_math
from topcoat.engine.mlx.cpu.heap import keep_freed_memory

__all__ = ["on_cpu", "quick"]


def on_cpu() -> bool:
    """True if MLX computes on the CPU (no Metal, no CUDA)."""
    return bool(mx.default_device() == mx.cpu)


@contextmanager
def quick() -> Iterator[None]:
    """While the block runs on a CPU, what is slow in MLX and mlx-lm is replaced; results are equal to float rounding.

    On a GPU nothing changes. Afterwards MLX is what it was, except that the C library keeps the memory that it freed.
    """
    if not on_cpu():
        yield
        return
    keep_freed_memory()
    # MLX compiles CPU kernels with the system's C++ compiler at run time: absent on many machines, some 25 s on first
    # use, and no faster for these models.
    mx.disable_compile()
    try:
        with fast_math.replacing(), experts.replacing():
            yield
    finally:
        if not os.environ.get("MLX_DISABLE_COMPILE"):
            mx.enable_compile()
