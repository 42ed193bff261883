from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from topcoat.engine import host_memory
from topcoat.engine.host_memory import host_memory_use
from topcoat.engine.protocol import MemoryUse

VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                         500000.
Pages inactive:                         2000.
Pages speculative:                       300.
Pages throttled:                           0.
Pages wired down:                     100000.
Pages purgeable:                       40000.
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine of which 9 MB are free, and a process of two groups without a limit."""
    monkeypatch.setattr(sys, "platform", "linux")
    write(tmp_path / "proc/self/status", "VmPeak:\t 9000 kB\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\n")
    write(tmp_path / "proc/meminfo", "MemTotal:       99000 kB\nMemFree:         100 kB\nMemAvailable:    9000 kB\n")
    write(tmp_path / "proc/self/cgroup", "1:cpu:/elsewhere\n0::/user/box\n")
    write(tmp_path / "sys/fs/cgroup/user/box/memory.max", "max\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_the_system_would_give_is_free_and_the_most_is_taken(machine: Path) -> None:
    assert host_memory_use(machine) == MemoryUse(taken=2000 << 10, free=9000 << 10)


@pytest.mark.parametrize("group", ["user/box", "user"])
def test_a_limit_of_any_group_around_the_process_counts(machine: Path, group: str) -> None:
    folder = machine / "sys/fs/cgroup" / group
    write(folder / "memory.max", "5000000\n")
    write(folder / "memory.current", "4000000\n")
    write(folder / "memory.stat", "anon 3000000\ninactive_file 600000\nactive_file 400000\n")
    use = host_memory_use(machine)
    assert use is not None
    assert use.free == 5_000_000 - 4_000_000 + 600_000


def test_what_is_not_said_is_not_guessed(machine: Path) -> None:
    write(machine / "proc/meminfo", "MemTotal:       99000 kB\nMemFree:         100 kB\n")
    assert host_memory_use(machine) is None
    assert host_memory_use(machine / "nowhere") is None


def test_on_macos_inactive_pages_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(host_memory, "_vm_stat", lambda: VM_STAT)
    use = host_memory_use()
    assert use is not None
    assert use.free == 16384 * (10 + 2000 + 300)
    monkeypatch.setattr(host_memory, "_vm_stat", lambda: "vm_stat: no\n")
    assert host_memory_use() is None


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux alone has these files")
def test_this_machine_says_it() -> None:
    use = host_memory_use()
    assert use is not None
    page = os.sysconf("SC_PAGE_SIZE")
    assert 0 < use.taken < page * os.sysconf("SC_PHYS_PAGES")
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
    assert use.taken >= resident * 0.9
