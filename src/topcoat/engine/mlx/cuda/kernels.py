"""The kernels that MLX compiles for a CUDA GPU when it first needs them."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from pathlib import Path

__all__ = ["first_use"]


def first_use() -> str | None:
    """What to say before MLX has compiled a kernel on this machine; None afterwards.

    The folder is MLX's (`ptx_cache_dir` in its backend/cuda/jit_module.cpp).
    """
    kept = os.environ.get("MLX_PTX_CACHE_DIR")
    usual = Path(tempfile.gettempdir()) / "mlx" / importlib.metadata.version("mlx") / "ptx"
    folder = Path(kept) if kept else usual
    if any(folder.glob("*.ptx")):
        return None
    said = f"MLX compiles its CUDA kernels when it first needs them, which takes minutes, and keeps them in {folder}"
    return said if kept else f"{said}. hint: export MLX_PTX_CACHE_DIR=/a/folder/that/outlives/a/restart"
