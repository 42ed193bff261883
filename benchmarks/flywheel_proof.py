"""The Flywheel from end to end: the embedded model behind `topcoat serve`, sessions of work with it, and one cycle.

    python -m benchmarks.flywheel_proof [--sessions 200] [--seed 0] [--folder DIR]

Nothing is faked but the user (tests/support/usage/scripted_users.py), and the project has none of phase 34a's examples.
Takes some three minutes on two cores.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.usage.scripted_users import Worked, tasks, work_through
from tests.support.usage.serving import serving
from topcoat.demo import TEMPLATE


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = (given.folder or Path(folder)) / "project"
        shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("__pycache__", "phase34a*"))
        started = time.monotonic()
        done = used(project, given.sessions, given.seed)
        print(f"{len(done)} sessions in {time.monotonic() - started:.0f} s")
        show_ways(done)
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "topcoat", "--project", str(project), "cycle"], check=False)
        print(f"topcoat cycle: {time.monotonic() - started:.0f} s")


def used(project: Path, sessions: int, seed: int) -> list[Worked]:
    """Serve the project's production model and have that many sessions of work done with it."""
    with serving(project) as running:
        done = work_through(running.url, project, tasks(sessions, random.Random(seed)))
        running.end()
    print(running.printed[-1].strip())
    return done


def show_ways(done: Sequence[Worked]) -> None:
    """How the tasks of each kind were done."""
    for kind in dict.fromkeys(one.task.kind for one in done):
        ways = Counter(one.way for one in done if one.task.kind == kind)
        print(f"  {kind}: {ways.total()}, {', '.join(f'{count} {way}' for way, count in ways.most_common())}")


if __name__ == "__main__":
    main()
