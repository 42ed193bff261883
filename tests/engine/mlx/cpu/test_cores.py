from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from topcoat.engine.mlx.cpu.cores import OtherWork, Sample, sample, usable_cores

TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.cpu.cores.os.sched_getaffinity", lambda _: {*range(16)}, raising=False)


def machine(root: Path, files: dict[str, str]) -> Path:
    """A made-up `/proc` and `/sys`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "0::/jobs/inner\n"
V1 = "5:memory:/jobs\n4:cpu,cpuacct:/jobs\n"
CASES = {
    "no groups": ({}, 16),
    "no limit": ({"proc/self/cgroup": V2, "sys/fs/cgroup/jobs/inner/cpu.max": "max 100000"}, 16),
    "its own group": ({"proc/self/cgroup": V2, "sys/fs/cgroup/jobs/inner/cpu.max": "300000 100000"}, 3),
    "a group around it": (
        {
            "proc/self/cgroup": V2,
            "sys/fs/cgroup/jobs/inner/cpu.max": "800000 100000",
            "sys/fs/cgroup/jobs/cpu.max": "200000 100000",
        },
        2,
    ),
    "a container": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
    "a container that is told a path outside": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "500000 100000"}, 5),
    "a part of a core more": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "190000 100000"}, 1),
    "less than a core": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
    "more than there are": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "6400000 100000"}, 16),
    "not a number": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "many 100000"}, 16),
    "version 1": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
        },
        6,
    ),
    "version 1 in a container": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "700000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        7,
    ),
    "version 1 without a limit": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
        },
        16,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_control_groups_limit_the_cores(tmp_path: Path, case: str) -> None:
    files, cores = CASES[case]
    assert usable_cores(machine(tmp_path, files)) == cores


def test_a_process_that_is_bound_to_some_cores_uses_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.cpu.cores.os.sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert usable_cores(tmp_path) == 2


def test_without_affinity_all_cores_are_usable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr("topcoat.engine.mlx.cpu.cores.os.sched_getaffinity")
    monkeypatch.setattr("topcoat.engine.mlx.cpu.cores.os.cpu_count", lambda: 12)
    assert usable_cores(tmp_path) == 12


def line(name: str, *seconds: float) -> str:
    return " ".join([name, *(str(int(one * TICK)) for one in seconds)])


def test_a_sample_counts_the_usable_cores_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.cpu.cores.os.sched_getaffinity", lambda _: {0, 2}, raising=False)
    # user, nice, system, idle, iowait, irq, softirq, steal, guest (a part of user), guest_nice
    cores = [
        line("cpu", 999, 999, 999, 999, 999, 999, 999, 999, 999, 999),
        line("cpu0", 1, 2, 3, 10, 20, 4, 5, 6, 1, 0),
        line("cpu1", 99, 99, 99, 99, 99, 99, 99, 99, 99, 99),
        line("cpu2", 2, 0, 0, 40, 0, 0, 0, 0, 0, 0),
        "intr 12 0 0",
    ]
    found = sample(machine(tmp_path, {"proc/stat": "\n".join(cores)}))
    assert found is not None
    assert (found.cores, found.all, found.busy) == (2, 51 + 42, 21 + 2)


@pytest.mark.parametrize("text", [None, "", "cpu 1 2 3\n", line("cpu0", *[0] * 10)])
def test_a_system_that_tells_nothing_has_no_sample(tmp_path: Path, text: str | None) -> None:
    assert sample(machine(tmp_path, {} if text is None else {"proc/stat": text})) is None


def of(*samples: Sample | None) -> OtherWork:
    ahead: Iterator[Sample | None] = iter(samples)
    return OtherWork(lambda: next(ahead))


def test_other_work_is_what_is_busy_without_this_process() -> None:
    # Ten seconds on four cores: 25 busy core seconds, 10 of them ours. Then two seconds in which all is ours.
    work = of(Sample(4, 100, 50, 7), Sample(4, 140, 75, 17), Sample(4, 148, 77, 19.5))
    assert work.busy_cores() == 1.5
    assert work.busy_cores() == 0.0


def test_too_short_a_time_tells_nothing_and_goes_on() -> None:
    work = of(Sample(2, 100, 50, 0), Sample(2, 100.5, 50.5, 0), Sample(2, 102, 51, 0))
    assert work.busy_cores() is None
    assert work.busy_cores() == 1.0  # since the first sample


def test_other_cores_or_none_begin_anew() -> None:
    work = of(Sample(2, 100, 50, 0), Sample(1, 60, 30, 0), Sample(1, 70, 35, 0), None, Sample(1, 90, 35, 0))
    assert [work.busy_cores() for _ in range(4)] == [None, 0.5, None, None]
