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
tolerance = 1.0
"""


def make_project(folder: Path) -> Path:
    """The embedded project with a short phase and every ninth case."""
    shutil.copytree(TEMPLATE, folder)
    (folder / "phases" / "short.toml").write_text(PHASE)
    suite = folder / "suites" / "routing.jsonl"
    suite.write_text("\n".join(suite.read_text().splitlines()[::9]) + "\n")
    return folder


def run(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "topcoat", "run", "short"], cwd=project, capture_output=True, text=True, timeout=240
    )


def adapter(project: Path) -> str:
    path = project / ".topcoat" / "runs" / "short" / "1" / "adapter" / "adapters.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fused(project: Path) -> str:
    path = project / ".topcoat" / "models" / "short-1" / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = make_project(tmp_path / "whole")
    started = time.monotonic()
    done = run(whole)
    duration = time.monotonic() - started
    assert done.returncode == 0, done.stderr

    project = make_project(tmp_path / "killed")
    chance = random.Random(20)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "topcoat", "run", "short"],
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=chance.uniform(0.15, 0.8) * duration)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    done = run(project)
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
