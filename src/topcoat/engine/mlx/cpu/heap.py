"""Makes the C library's allocator keep freed memory.

On a CPU, MLX frees and allocates every intermediate array. glibc gives large ones back to the system at once, and their
next use costs a page fault for every 4 KiB. For arrays of 4 MiB, that takes several times as long as computing them.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

KEPT = 1 << 29
"""The process keeps up to this many free bytes at the top of the heap."""
LARGEST = 1 << 25
"""Arrays up to this many bytes come from the heap; larger ones are mapped and given back one by one."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Set glibc's thresholds for this process. Does nothing without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
