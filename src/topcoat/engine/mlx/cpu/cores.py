"""How many cores this process may use, and how many of them other work keeps busy. Linux tells both in files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OtherWork", "Sample", "sample", "usable_cores"]

LEAST = 0.5
"""Seconds between two samples that are compared. The system counts a core's time in hundredths of a second."""


def usable_cores(root: Path = Path("/")) -> int:
    """The cores of this process: those that it is bound to, and no more than its control groups give it. At least 1."""
    quotas = _quotas(root)
    return max(1, min([len(_affinity()), *map(int, quotas)]))


def _affinity() -> list[int]:
    """The numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _quotas(root: Path) -> list[float]:
    """The cores that each control group around this process gives it, of those that limit it.

    A container sees its own group at the top of the tree, and may be told a path that is only there outside of it.
    """
    found: list[float] = []
    tree = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            top, read = tree, _quota
        elif "cpu" in controllers.split(","):
            top, read = tree / controllers, _quota_of_version_1
            top = top if top.is_dir() else tree / "cpu"
        else:
            continue
        inside = Path(path.lstrip("/"))
        found += [cores for one in (inside, *inside.parents) if (cores := read(top / one)) is not None]
    return found


def _quota(group: Path) -> float | None:
    """The cores of `cpu.max`: "200000 100000" are 2, "max 100000" is no limit."""
    numbers = _text(group / "cpu.max").split()
    return _ratio(*numbers) if len(numbers) == 2 else None


def _quota_of_version_1(group: Path) -> float | None:
    return _ratio(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """None for what isn't a limit: "max", -1, or no number at all."""
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds since the machine started: of all usable cores together (`all`), of these the busy ones, and this
    process's own. `cores` is their number.
    """

    cores: int
    all: float
    busy: float
    own: float


def sample(root: Path = Path("/")) -> Sample | None:
    """The counters now. None where the system doesn't tell them."""
    wanted = {f"cpu{core}" for core in _affinity()}
    total = idle = cores = 0
    for line in _text(root / "proc/stat").splitlines():
        name, *numbers = line.split()
        if name in wanted and len(numbers) >= 8:
            counts = [int(number) for number in numbers[:8]]  # the others are parts of the first two
            total += sum(counts)
            idle += counts[3] + counts[4]
            cores += 1
    if total == 0:
        return None
    tick = os.sysconf("SC_CLK_TCK")
    return Sample(cores, total / tick, (total - idle) / tick, time.process_time())


class OtherWork:
    """Tells how many cores other work kept busy since it was asked last."""

    def __init__(self, read: Callable[[], Sample | None] = sample) -> None:
        self._read = read
        self._last = read()

    def busy_cores(self) -> float | None:
        """A mean since the last answer. None if the time since then is too short, or the system doesn't tell."""
        last, now = self._last, self._read()
        if last is None or now is None or now.cores != last.cores:
            self._last = now
            return None
        seconds = (now.all - last.all) / now.cores
        if seconds < LEAST:
            return None
        self._last = now
        return max(0.0, (now.busy - last.busy) - (now.own - last.own)) / seconds
