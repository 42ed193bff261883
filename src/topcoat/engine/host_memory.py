"""The memory of this machine: what this process has taken of it, and what is free. Linux and macOS."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from topcoat.engine.protocol import MemoryUse

__all__ = ["host_memory_use"]


def host_memory_use(root: Path = Path("/")) -> MemoryUse | None:
    """What this process has taken of the machine's memory at most, and what is free; None if the system doesn't say.

    `root` is where /proc and /sys are. Free is also what the system would give away for a program that asks: files that
    it keeps in memory. A container's limit counts (cgroup v2).
    """
    try:
        if sys.platform == "darwin":
            return MemoryUse(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, _free_of_vm_stat(_vm_stat()))
        # ru_maxrss isn't it on Linux: a process begins with its parent's.
        taken = _kilobytes((root / "proc/self/status").read_text(), "VmHWM")
        free = _kilobytes((root / "proc/meminfo").read_text(), "MemAvailable")
        return MemoryUse(taken, min([free, *_free_in_groups(root)]))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _kilobytes(text: str, name: str) -> int:
    """The bytes of a line such as `MemAvailable:  23150060 kB`. Raises ValueError if there is none."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name}")
    return int(found[1]) << 10


def _free_in_groups(root: Path) -> Iterator[int]:
    """What each limited group leaves that this process belongs to. Files that the group keeps in memory count as free.

    Source of the files and their meaning: the kernel's documentation of cgroup v2, "Memory Interface Files".
    """
    groups = re.search(r"^0::/(.*)$", (root / "proc/self/cgroup").read_text(), re.MULTILINE)
    top = root / "sys/fs/cgroup"
    inner = top / groups[1] if groups else top
    for folder in [inner, *inner.parents]:
        limit = folder / "memory.max"
        if limit.is_file() and (most := limit.read_text().strip()).isdigit():
            kept = re.search(r"^inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
            used = int((folder / "memory.current").read_text()) - (int(kept[1]) if kept else 0)
            yield max(0, int(most) - used)
        if folder == top:
            return


def _vm_stat() -> str:
    return subprocess.run(["vm_stat"], capture_output=True, text=True, check=True, timeout=5).stdout


def _free_of_vm_stat(printed: str) -> int:
    """The free bytes in what macOS's `vm_stat` prints: pages that are free, speculative or inactive, as psutil counts.

    Raises ValueError for something else.
    """
    size = re.search(r"page size of (\d+) bytes", printed)
    pages = re.findall(r"^Pages (?:free|speculative|inactive):\s+(\d+)\.", printed, re.MULTILINE)
    if size is None or not pages:
        raise ValueError("not vm_stat's")
    return int(size[1]) * sum(map(int, pages))
