"""One rank and several, on this machine, with one core each; and what several hosts would take, from measured figures.

    python -m benchmarks.scaling [--ranks 2] [--layers 16] [--rows 32] [--updates 3] [--answers 32] [--rounds 3]
        [--json FILE]

The model is the dense one of benchmarks/training.py. Its rows share no prefix, as with tools of their own: a shared one
is computed by every rank. An update has all `--rows`, of 400 to 600 tokens. Each rank is a process on a core of its
own, with one BLAS thread. Printed are the seconds of the trunk, of an update and of the answers for one rank and for
`--ranks`, medians of the rounds, taken in turns.

The model of many hosts adds what the network carries to what is computed: the trunk's states once, the gradient in
every update (twice over the ring), and nothing else of size. A host is as fast as a rank was here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import training
from topcoat.engine.mlx import open_engine
from topcoat.engine.protocol import GenerateJob, Row, TrainJob
from topcoat.progress import Advanced, Event, Finished, Silent, Started
from topcoat.spec.phase import LoraSpec, TrainSpec
from topcoat.store.files import write_text

HOSTS = (1, 2, 4, 8, 16, 32, 64)
SPEEDS = {"1 Gbit/s": 1e9 / 8, "40 Gbit/s": 40e9 / 8}
ADAPTED, PROMPT, ANSWER, PORT = 8, 300, 24, 32323
Figures = dict[str, float]


class Clock:
    """Looks at the clock when a task begins, advances and ends."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, Started | Advanced | Finished):
            self.times.append((event.name, time.perf_counter()))

    def seconds(self, name: str) -> list[float]:
        """Between the looks of a task."""
        seen = [when for what, when in self.times if what == name]
        return [after - before for before, after in itertools.pairwise(seen)]


def measure(model: Path, folder: Path, rows: int, updates: int, answers: int) -> Figures:
    """What a rank does: the first one gives the figures."""
    engine = open_engine(Silent())
    from topcoat.engine.mlx import worker  # loads MLX, which takes the BLAS that is there

    if not engine.ranks.first:
        worker.work(engine)
        return {}
    rng = np.random.default_rng(0)
    lengths = rng.integers(400, 601, rows)
    data = [rng.integers(0, training.VOCABULARY, int(length)).astype(np.int32) for length in lengths]
    made = [Row(tokens, np.arange(len(tokens)) >= len(tokens) - 60) for tokens in data]
    spec = TrainSpec(
        iters=updates, batch_size=rows, grad_accumulation_steps=1, num_layers=ADAPTED, patience=0, lora=LoraSpec(rank=8)
    )
    batches = [tuple(range(rows))] * updates
    clock = Clock()
    engine.train(TrainJob(model, made, batches, [], spec, 1e-4, folder / "run", folder / "cache"), clock)
    prompts = [rng.integers(0, training.VOCABULARY, PROMPT).tolist() for _ in range(answers)]
    begun = time.perf_counter()
    engine.generate(GenerateJob(model, prompts, [ANSWER] * answers), Silent())
    asked = time.perf_counter() - begun
    steady = clock.seconds("train")[1:-1] or clock.seconds("train")
    adapter = (folder / "run" / "adapter" / "adapters.safetensors").stat().st_size
    states = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    trunk = sum(clock.seconds("trunk"))
    return {"trunk": trunk, "update": statistics.median(steady), "answers": asked, "adapter": adapter, "states": states}


def launched(ranks: int, model: Path, sizes: list[int]) -> Figures:
    """The figures of so many ranks, each on a core of its own."""
    with tempfile.TemporaryDirectory() as folder:
        hosts = Path(folder) / "hosts.json"
        write_text(hosts, json.dumps([[f"127.0.0.1:{PORT + rank}"] for rank in range(ranks)]))
        command = [sys.executable, "-m", "benchmarks.scaling", "--measure", str(model), folder, *map(str, sizes)]
        processes = []
        for rank in range(ranks):
            pinned = ["taskset", "-c", str(rank)] if sys.platform == "linux" else []
            own = {"MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts)} if ranks > 1 else {}
            environment = {**os.environ, **own, "OPENBLAS_NUM_THREADS": "1"}
            processes.append(subprocess.Popen([*pinned, *command], stdout=subprocess.PIPE, text=True, env=environment))
        printed = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a rank failed")
    figures: Figures = json.loads(printed[0].splitlines()[-1])
    return figures


def predicted(one: Figures, speed: float, hosts: int) -> float:
    """Seconds of trunk, 75 updates and answers on so many hosts."""
    others = (hosts - 1) / hosts
    computed = (one["trunk"] + 75 * one["update"] + one["answers"]) / hosts
    carried = others * one["states"] * 2 + 75 * 2 * others * one["adapter"]
    return computed + carried / speed


def table(found: Mapping[int, Figures], ranks: int) -> str:
    """In Markdown: what was measured, then what many hosts would take."""
    one, many = found[1], found[ranks]
    lines = [f"| | 1 rank, s | {ranks} ranks, s | times |", "| --- | ---: | ---: | ---: |"]
    whole = {name: figures["trunk"] + 75 * figures["update"] + figures["answers"] for name, figures in found.items()}
    for name in ("trunk", "update", "answers"):
        lines.append(f"| {name} | {one[name]:.2f} | {many[name]:.2f} | {one[name] / many[name]:.2f} |")
    lines.append(f"| all, with 75 updates | {whole[1]:.0f} | {whole[ranks]:.0f} | {whole[1] / whole[ranks]:.2f} |")
    lines += ["", f"| hosts | {' | '.join(SPEEDS)} |", f"| ---: |{' ---: |' * len(SPEEDS)}"]
    for hosts in HOSTS:
        times = [predicted(one, speed, 1) / predicted(one, speed, hosts) for speed in SPEEDS.values()]
        lines.append(f"| {hosts} | {' | '.join(f'{value:.1f} times' for value in times)} |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        model_folder, folder, *sizes_given = sys.argv[2:]
        print(json.dumps(measure(Path(model_folder), Path(folder), *map(int, sizes_given))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [options.rows, options.updates, options.answers]
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        training.make_model("dense", model, options.layers)
        rounds: dict[int, list[Figures]] = {1: [], options.ranks: []}
        for number in range(options.rounds):
            for ranks, figures in rounds.items():
                print(f"round {number + 1} of {options.rounds}: ranks {ranks}", file=sys.stderr, flush=True)
                figures.append(launched(ranks, model, sizes))
    found = {
        ranks: {name: statistics.median(one[name] for one in figures) for name in figures[0]}
        for ranks, figures in rounds.items()
    }
    print(table(found, options.ranks))
    if options.json:
        write_text(options.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
