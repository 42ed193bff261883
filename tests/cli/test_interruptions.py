"""Kills and full disks while a real model is trained: nothing is lost, and the result is the same."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from topcoat.demo import TEMPLATE

pytestmark = pytest.mark.slow

PHASE = """\
[data]
train = ["data/phase34a.jsonl"]
replay = 0.5

[train]
iters = 30
batch_size = 4
grad_accumulation_steps = 1
learning_rate = 1e-3
num_layers = 4
steps_per_eval = 10
save_every = 5

[gate]
no_regression = ["multi_tool"]
evidence = "mean"
tolerance = 1.0
"""


def make_project(folder: Path, iterations: int = 30) -> Path:
    """The embedded project with a short phase and every ninth case."""
    shutil.copytree(TEMPLATE, folder)
    (folder / "phases" / "short.toml").write_text(
        PHASE.replace("iters = 30", f"iters = {iterations}").replace("every = 5", f"every = {iterations // 6}")
    )
    suite = folder / "suites" / "routing.jsonl"
    suite.write_text("\n".join(suite.read_text().splitlines()[::9]) + "\n")
    return folder


COMMAND = [sys.executable, "-m", "topcoat", "--compute"]


def run(project: Path, compute: str = "dequantized") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, compute, "run", "short"], cwd=project, capture_output=True, text=True, timeout=280)


def adapter(project: Path) -> str:
    path = project / ".topcoat" / "runs" / "short" / "1" / "adapter" / "adapters.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fused(project: Path) -> str:
    path = project / ".topcoat" / "models" / "short-1" / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("compute", "iterations", "kills"), [("dequantized", 30, 6), ("as-stored", 6, 3)])
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(
    tmp_path: Path, compute: str, iterations: int, kills: int
) -> None:
    whole = make_project(tmp_path / "whole", iterations)
    started = time.monotonic()
    done = run(whole, compute)
    duration = time.monotonic() - started
    assert done.returncode == 0, done.stderr

    project = make_project(tmp_path / "killed", iterations)
    chance = random.Random(20)
    for _ in range(kills):
        process = subprocess.Popen(
            [*COMMAND, compute, "run", "short"], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=chance.uniform(0.15, 0.8) * duration)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    done = run(project, compute)
    assert done.returncode == 0, done.stderr
    assert adapter(project) == adapter(whole)
    assert fused(project) == fused(whole)
    status = subprocess.run(
        [sys.executable, "-m", "topcoat", "status", "--json"], cwd=project, capture_output=True, text=True, check=True
    )
    assert json.loads(status.stdout)["production"] == "short-1"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and sys.platform == "linux"
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("room", [150_000, 700_000, 3_000_000], ids=["database", "checkpoint", "fuse"])
def test_a_full_disk_is_a_clear_error_and_the_run_goes_on_when_there_is_room(small_disk: Path, room: int) -> None:
    project = make_project(small_disk / "project")
    free = shutil.disk_usage(small_disk).free
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * (free - room))
    done = run(project)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "error:" in done.stderr
    assert "space" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    filler.unlink()
    again = run(project)
    assert again.returncode == 0, again.stderr
    assert "PROMOTED" in again.stdout
