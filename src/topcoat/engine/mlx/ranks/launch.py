"""Whether `mlx.launch` started this process. Asking loads nothing."""

from __future__ import annotations

import os

__all__ = ["launched_rank"]

_RANK = "MLX_RANK"
"""What `mlx.launch` tells a process: its number."""


def launched_rank() -> int | None:
    """This process's rank, if `mlx.launch` started it; else None."""
    rank = os.environ.get(_RANK, "")
    return int(rank) if rank.isdecimal() else None
