"""Whether MLX runs on a CPU, and all that makes it quick there, set once for the whole process."""

from __future__ import annotations

import mlx.core as mx

from topcoat.engine.mlx.cpu import experts, fast_math
from topcoat.engine.mlx.cpu.heap import keep_freed_memory

__all__ = ["on_cpu", "quicken"]


def on_cpu() -> bool:
    """True if MLX computes on the CPU (no Metal, no CUDA)."""
    return bool(mx.default_device() == mx.cpu)


def quicken() -> None:
    """Replace what is slow in MLX and mlx-lm; what they compute stays the same to float rounding."""
    # MLX compiles CPU kernels with the system's C++ compiler at run time: absent on many machines, some 25 s on first
    # use, and no faster for these models.
    mx.disable_compile()
    fast_math.serve_mlx()
    experts.serve_mlx_lm()
    keep_freed_memory()
