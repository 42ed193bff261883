"""The C library's allocator, told to keep what is freed.

On a CPU, MLX frees and allocates every intermediate array. glibc gives large ones back to the system at once, and their
next use costs a page fault for every 4 KiB: on arrays of 4 MiB, several times what computing them takes.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

KEPT = 1 << 29
"""Bytes of free memory at the top of the heap that stay with the process."""
LARGEST = 1 << 25
"""Arrays up to this many bytes come from the heap; larger ones are mapped and given back one by one."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Set glibc's thresholds for this process. Where there is no glibc, nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
