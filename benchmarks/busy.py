"""Answers beside other work: with threads that follow it (engine/mlx/cpu/sharing.py), and with as many as cores.

    python -m benchmarks.busy [--loops 2] [--cases 16] [--rounds 2] [--seconds 5]

Other work is a number of endless loops, each in a session of its own: Linux shares cores between sessions first. First,
single products of a model 512 wide are counted, on one thread and on as many as cores. Then the model of
benchmarks/answers.py is asked (`--cases 0` asks nothing). Prints the speed of each way, alone on the machine and beside
the loops, and the CPU time of this process. Everything else on the machine has to be idle; with `--loops 0`, whatever
else it does is the other work.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.answers import Job, random_job  # opens the engine, with its fast BLAS, before MLX is loaded
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu import sharing
from topcoat.engine.mlx.cpu.blas import set_threads
from topcoat.engine.mlx.cpu.cores import OtherWork, usable_cores
from topcoat.engine.mlx.generate.generate import generate
from topcoat.engine.mlx.model.folder import Loaded, load
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Event, Note
from topcoat.quantity import counted

import mlx.core as mx  # isort: skip  # after the fast BLAS

WAYS = ("kept", "followed")


class _Notes:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)


@contextmanager
def loops(count: int) -> Iterator[None]:
    """Keep `count` cores busy during the `with` block."""
    loop = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with this process
    started = [subprocess.Popen([sys.executable, "-c", loop], start_new_session=True) for _ in range(count)]
    try:
        time.sleep(2 if count else 0)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def threads_kept(kept: bool) -> Iterator[None]:
    """With `kept`, other work is never seen during the `with` block."""
    seen = sharing._others
    if kept:
        sharing._others = OtherWork(lambda: None)
    try:
        yield
    finally:
        sharing._others = seen


def products(seconds: float, threads: int) -> tuple[float, float]:
    """Products a second of 64 rows with matrices as a model 512 wide has them, and CPU milliseconds of each."""
    rows, *matrices = (mx.random.normal(shape) for shape in ((64, 512), (512, 512), (512, 1536)))
    mx.eval(rows, matrices)
    set_threads(threads)
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        for matrix in matrices:
            mx.eval(rows @ matrix)
        done += len(matrices)
    return done / (time.perf_counter() - wall), 1000 * (time.process_time() - cpu) / done


def count_products(rounds: int, seconds: float) -> None:
    """Print the median products a second on one thread and on all, in turns."""
    every = (1, usable_cores())
    found: dict[int, list[tuple[float, float]]] = {threads: [] for threads in every}
    for threads in every * rounds:
        found[threads].append(products(seconds, threads))
    for threads, pairs in found.items():
        speed, cpu = (statistics.median(numbers) for numbers in zip(*pairs, strict=True))
        print(f"products on {counted(threads, 'thread')}: {speed:.1f} a second, {cpu:.2f} ms of CPU each", flush=True)


def asked(job: Job, loaded: Loaded, way: str) -> tuple[float, float, list[str], list[str]]:
    """Seconds, CPU seconds, the answers, and what was said."""
    notes = _Notes()
    with threads_kept(way == "kept"):
        wall, cpu = time.perf_counter(), time.process_time()
        answers = generate(loaded.model, loaded.tokenizer, GenerateJob(job.folder, job.prompts, job.limits), notes)
    return time.perf_counter() - wall, time.process_time() - cpu, [one.text for one in answers], notes.texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    for count in dict.fromkeys((0, options.loops)):
        with loops(count):
            print(f"{counted(count, 'loop')}:")
            count_products(options.rounds, options.seconds)
    if options.cases:
        ask(options)


def ask(options: argparse.Namespace) -> None:
    """Print what answers take, and whether all are the same."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = random_job(Path(scratch))
        job = Job(whole.name, whole.folder, whole.prompts[: options.cases], whole.limits[: options.cases])
        loaded = load(job.folder, Compute.DEQUANTIZED)
        print(f"{job.name}, {options.cases} cases, {usable_cores()} cores")
        medians: dict[tuple[int, str], float] = {}
        texts: list[list[str]] = []
        for count in dict.fromkeys((0, options.loops)):
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            with loops(count):
                for way in WAYS * options.rounds:
                    wall, cpu, answers, notes = asked(job, loaded, way)
                    found[way].append(wall)
                    texts.append(answers)
                    print(
                        f"{count} loops, threads {way}: {wall:.1f} s, {cpu:.1f} s of CPU  {' '.join(notes)}", flush=True
                    )
            medians |= {(count, way): statistics.median(found[way]) for way in WAYS}
        for count in dict.fromkeys((0, options.loops)):
            ratio = medians[count, "kept"] / medians[count, "followed"]
            print(f"{count} loops: {ratio:.2f} times as fast with threads that follow other work")
        print(f"answers equal in all {len(texts)} runs: {all(one == texts[0] for one in texts)}")


if __name__ == "__main__":
    main()
