"""Makes MLX fast on a CPU while a job computes, and tells whether MLX uses a CPU."""

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
    """During the `with` block on a CPU, replace what is slow in MLX and mlx-lm. Results are equal to float rounding.

    On a GPU nothing changes. Afterwards MLX is restored, but the C library still keeps freed memory.
    """
    if not on_cpu():
        yield
        return
    keep_freed_memory()
    # MLX compiles CPU kernels with the system's C++ compiler while it computes. Many machines have none, the first use
    # takes some 25 s, and the kernels are no faster for these models.
    mx.disable_compile()
    try:
        with fast_math.replacing(), experts.replacing():
            yield
    finally:
        if not os.environ.get("MLX_DISABLE_COMPILE"):
            mx.enable_compile()
