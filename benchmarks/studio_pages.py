"""How long the studio's pages take in a project with a long history.

    python -m benchmarks.studio_pages [--phases 200] [--events 50000] [--folder DIR]

The project is made up: the embedded one around a fake model, whose phases all have the results of one real run with
some cases drawn anew, and sessions of five events. `--folder` keeps it, or takes the one that is there. Each page is
asked for once and then nine times more. A page's time includes its transfer over the loopback, but no browser. The CPU
time is that of the server and the client together, which tells what a page costs where other programs work too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.support.grown_project import begin_project, capture_sessions, grow, review_examples
from tests.support.studio import Visitor, pages_of, studio_of
from topcoat.store.lineage.summary import LineageSummary
from topcoat.store.paths import ProjectPaths

GOAL = 0.3
"""Seconds. No page may take longer."""
AGAIN = 9
BATCH = 1000


def make(folder: Path, phases: int, events: int) -> None:
    """Make the project in `folder`."""
    grow(folder, begin_project(folder), phases)
    stored = sessions = 0
    while stored < events:
        stored += capture_sessions(folder, range(sessions, sessions + BATCH))
        sessions += BATCH
    review_examples(folder)
    print(f"{phases} phases, {stored} events in {sessions} sessions", flush=True)


def measure(come: Visitor, path: str) -> tuple[list[float], int]:
    """The time of the first request in seconds, the median of the others, the median of their CPU; the page's size."""
    times, used, size = [], [], 0
    for _ in range(1 + AGAIN):
        began, spent = time.perf_counter(), time.process_time()
        size = len(come.page(path))
        times.append(time.perf_counter() - began)
        used.append(time.process_time() - spent)
    return [times[0], statistics.median(times[1:]), statistics.median(used[1:])], size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phases", type=int, default=200)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "project"
        if not folder.exists():
            make(folder, given.phases, given.events)
        with LineageSummary(ProjectPaths(folder)) as lineage:
            model = lineage.production() or ""
            phase = lineage.phases()[-1].name
        names = {"model": model, "phase": phase, "session": "session 0"}
        paths = [*pages_of(names), "/lineage?page=4", "/phases?state=discarded", "/sessions?page=200"]
        paths += ["/sessions?text=page77&kind=merged", "/data/file?name=data%2Fphase33b.jsonl"]
        slow = []
        with studio_of(folder) as (link, door):
            come = Visitor(link, door)
            print(f"{'page':<58} {'first':>7} {'median':>7} {'CPU':>7} {'size':>7}")
            for path in paths:
                seconds, size = measure(come, path)
                figures = " ".join(f"{1000 * one:>4.0f} ms" for one in seconds)
                print(f"{path[:58]:<58} {figures} {size / 1000:>4.0f} kB")
                if max(seconds[:2]) > GOAL:
                    slow.append(path)
            come.client.close()
    print(f"{len(paths)} pages, {len(slow)} above {1000 * GOAL:.0f} ms{': ' if slow else ''}{', '.join(slow)}")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
