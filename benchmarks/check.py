"""How long checks take and how much memory: 100,000 examples, then 50,000 spoiled lines.

    python -m benchmarks.check [EXAMPLES [LINES]]

Each part runs in a process of its own, so that its peak memory is its own. Run from the project's folder.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.examples import CATALOG, SUITE, SYSTEM, clean_rows, spoiled
from topcoat.errors import Where
from topcoat.examples.checks.check import (
    check_balance,
    check_categories,
    check_examples,
    check_repeats,
    check_validation,
)
from topcoat.examples.reading import read_examples
from topcoat.spec.agent import Agent
from topcoat.store.records import Finding

MOST_SECONDS, MOST_BYTES = 120, 2e9
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def examples(path: Path, count: int) -> None:
    """Write examples of which a tenth are near-duplicates of others, and a tenth one template."""
    rng = random.Random(0)
    rows = list(clean_rows(count))
    for index in range(0, count, 10):
        twin = json.loads(json.dumps(rows[rng.randrange(count)]))
        twin["messages"][1]["content"] += " please"
        rows[index] = twin
        rows[index + 5 if index + 5 < count else index]["messages"][1:] = [
            {"role": "user", "content": f"Find the definition of name_{index}"},
            {"role": "assistant", "content": f"It stands in lib/name_{index}.py."},
        ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def spoiled_lines(path: Path, count: int) -> None:
    """Write lines, nearly all of which are broken in some way."""
    rng = random.Random(1)
    good = [json.dumps(row).encode() for row in clean_rows(500)]
    with path.open("wb") as file:
        for index in range(count):
            file.write(spoiled(good[index % len(good)], rng) + b"\n")


def check(path: Path) -> list[Finding]:
    """Everything that `topcoat check` does to a file before it needs a tokenizer; prints the time of each part."""
    started = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        now = time.perf_counter()
        print(f"    {name}: {now - started:.1f} s")
        started = now

    read, findings = read_examples(path)
    lap("read")
    findings += check_examples(read, SUITE, Agent(CATALOG, SYSTEM))
    lap("dialogues, calls, suite, secrets")
    findings += check_repeats(read)
    lap("near-duplicates and templates")
    findings += check_validation(read[len(read) // 10 :], read[: len(read) // 10])
    lap("validation against training")
    findings += check_categories(read, SUITE.categories)
    findings += check_balance(read, {}, Where(path))
    return findings


def measured(name: str, make: Callable[[Path, int], None], count: int) -> None:
    """Make a file, check it in a process of its own, print time and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.jsonl"
        make(path, count)
        print(f"{name}: {path.stat().st_size / 1e6:.0f} MB")
        process = multiprocessing.get_context("spawn").Process(target=_measure, args=(path,))
        process.start()
        process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{name}: the check ended with {process.exitcode}")


def _measure(path: Path) -> None:
    started = time.perf_counter()
    findings = check(path)
    seconds, busy = time.perf_counter() - started, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
    codes = ", ".join(f"{code} {count}" for code, count in sorted(Counter(f.code for f in findings).items()))
    print(f"  {seconds:.1f} s ({busy:.1f} s of a processor), peak {peak / 1e9:.2f} GB\n  {codes}")
    if seconds > MOST_SECONDS or peak > MOST_BYTES:
        raise SystemExit(f"over the limit of {MOST_SECONDS} s and {MOST_BYTES / 1e9:.0f} GB")


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:]] + [100_000, 50_000][len(sys.argv) - 1 :]
    measured(f"{sizes[0]} examples", examples, sizes[0])
    measured(f"{sizes[1]} spoiled lines", spoiled_lines, sizes[1])
