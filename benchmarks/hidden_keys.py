"""What a share of exactly 0 for hidden keys saves in training on a CPU.

    python -m benchmarks.hidden_keys [--rows 4] [--tokens 100] [--prefix 0] [--updates 3]

Trains a random qwen3 model of 9 layers 512 wide, 8 of them adapted, on rows of random tokens whose last 60 are trained.
First as topcoat does, then with hidden keys that get 2**-126 of a query's attention. Their products are subnormal
numbers, which an x86 CPU multiplies many times slower. Prints the processor seconds of an update, the median of
``--updates``, and the last loss. Rows begin with ``--prefix`` tokens that all share.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks import training
from topcoat.engine.mlx import open_engine
from topcoat.engine.protocol import Row, TrainJob
from topcoat.progress import Advanced, Event, Silent, Started
from topcoat.spec.phase import LoraSpec, TrainSpec

LAYERS, ADAPTED, TRAINED = 9, 8, 60


class Clock:
    """The processor's seconds when the training begins and after each update, and what was said of the last one."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.said = ""

    def emit(self, event: Event) -> None:
        if isinstance(event, Started | Advanced) and event.name == "train":
            self.times.append(time.process_time())
            self.said = event.detail if isinstance(event, Advanced) else ""


def measure(model: Path, folder: Path, least: float, rows: int, tokens: int, prefix: int, updates: int) -> str:
    """The median of an update's processor seconds, and the last loss. Below the exponent `least` is nothing."""
    engine = open_engine(Silent())
    from topcoat.engine.mlx.cpu import fast_math  # loads MLX, after the fast BLAS

    fast_math._LEAST = least
    rng = np.random.default_rng(0)
    shared = rng.integers(0, training.VOCABULARY, prefix)
    texts = [
        np.concatenate([shared, rng.integers(0, training.VOCABULARY, tokens)]).astype(np.int32) for _ in range(rows)
    ]
    made = [Row(text, np.arange(len(text)) >= len(text) - TRAINED) for text in texts]
    spec = TrainSpec(
        iters=updates, batch_size=rows, grad_accumulation_steps=1, num_layers=ADAPTED, patience=0, lora=LoraSpec(rank=8)
    )
    clock = Clock()
    batches = [tuple(range(rows))] * updates
    engine.train(TrainJob(model, made, batches, [], spec, 1e-4, folder / "run", folder / "cache"), clock)
    return f"{statistics.median(after - before for before, after in pairwise(clock.times)):.2f} s, {clock.said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--prefix", type=int, default=0)
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = (given.rows, given.tokens, given.prefix, given.updates)
    if given.measure:
        model, least = given.measure
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(model), Path(folder), float(least), *sizes))
        return
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        training.make_model("dense", model, LAYERS)
        for name, least in (("a share of 0", "-127"), ("a share of 2**-126", "-126")):
            command = [sys.executable, "-m", "benchmarks.hidden_keys", *sys.argv[1:], "--measure", str(model), least]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(f"{name}: an update takes {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
