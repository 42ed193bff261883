"""What long rows cost in training: memory and time by the length of a row, with and without `grad_checkpoint`.

    python -m benchmarks.long_rows [--model small] [--lengths 1024,2048,4096,8192,16384] [--sides ...] [--json FILE]

A random model of 16 layers (4 of them adapted, rank 8) trains two updates of one row each. The rows share 650 tokens,
and a quarter of the others is trained, in stretches of 64 all over the row, as the turns of an agent's dialogue are. A
side runs in a process of its own: topcoat without and with `grad_checkpoint`, and mlx-lm's unmodified `train` without
and with its own `--grad-checkpoint`, on the same rows, initial adapters and BLAS. mlx-lm gets the lengths up to
`--most-mlx-lm`. Memory is the most that MLX's arrays took, trunk and first comparison included; seconds are those of
the second update. The last line tells how memory grows: the exponent of the length, between the last two lengths.

`small` is 512 wide with a vocabulary of 32,768. `tiny` (32 wide, 3 layers, 2 adapted, 4,096) is for a busy machine.
`half-billion` has the shape of Qwen2.5-0.5B, with 8 of 24 layers adapted: its vocabulary of 151,936 shows the head.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import training

SHARED, STRETCH, RATE = 650, 64, 1e-4
UPDATES = 2
MODELS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "tiny": (
        3,
        2,
        {
            "hidden_size": 32,
            "intermediate_size": 96,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": 4096,
        },
    ),
    "small": (16, 4, {}),
    "half-billion": (
        24,
        8,
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "vocab_size": 151_936,
        },
    ),
}
"""By name: layers, adapted ones, and what differs from the dense model of training.py."""

Result = dict[str, Any]


def long_rows(length: int, vocabulary: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two rows of `length` tokens, each with the mark of its trained tokens."""
    rng = np.random.default_rng(0)
    shared = rng.integers(0, vocabulary, min(SHARED, length // 2))
    rows = []
    for _ in range(UPDATES):
        ids = np.concatenate([shared, rng.integers(0, vocabulary, length - len(shared))]).astype(np.int32)
        trained = np.arange(length) // STRETCH % 4 == 3
        trained[: len(shared) + 1] = False
        trained[-STRETCH:] = True
        rows.append((ids, trained))
    return rows


def run_topcoat(folder: Path, length: int, adapted: int, recompute: bool) -> Result:
    """Topcoat's own training of the two rows."""
    from topcoat.engine.mlx import open_engine
    from topcoat.engine.protocol import Row, TrainJob
    from topcoat.progress import Silent

    rows = [Row(ids, trained) for ids, trained in long_rows(length, _vocabulary(folder))]
    spec = _spec(adapted).model_copy(update={"grad_checkpoint": recompute})
    with tempfile.TemporaryDirectory() as run:
        job = TrainJob(folder, rows, [(0,), (1,)], [], spec, RATE, Path(run) / "run", Path(run) / "cache")
        report = open_engine(Silent()).train(job, Silent())
    losses = [step.loss for step in report.steps]
    return {"seconds": report.steps[-1].seconds, "memory": report.peak_memory, "losses": losses}


def run_mlx_lm(folder: Path, length: int, adapted: int, recompute: bool) -> Result:
    """mlx-lm's `train`. Its mask is a stretch from one position to another: it trains what is between the first and the
    last trained token, so its losses are of other tokens."""
    from topcoat.engine.mlx.cpu.blas import load_fast_blas

    load_fast_blas()
    import mlx.core as mx
    import mlx.optimizers as optimizers
    from mlx_lm.tuner import trainer
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.utils import load_model

    from topcoat.engine.mlx.model.lora import attach

    rows = long_rows(length, _vocabulary(folder))
    losses, ends = [], [time.perf_counter()]

    class Report(TrainingCallback):  # type: ignore[misc]  # mlx-lm is untyped
        def on_train_loss_report(self, train_info: Result) -> None:
            losses.append(float(train_info["train_loss"]))
            ends.append(time.perf_counter())

    model, _ = load_model(folder)
    attach(model, _spec(adapted))
    with tempfile.TemporaryDirectory() as run:
        arguments = trainer.TrainingArgs(
            batch_size=1,
            iters=UPDATES,
            steps_per_report=1,
            steps_per_save=10**9,
            grad_checkpoint=recompute,
            adapter_file=str(Path(run) / "adapters.safetensors"),
        )
        trainer.train(
            model,
            optimizers.Adam(RATE),
            [],
            None,
            arguments,
            iterate_batches=lambda **_: (
                (mx.array(ids[None]), mx.array([[int(np.flatnonzero(trained)[0]), len(ids) - 1]]))
                for ids, trained in rows
            ),
            training_callback=Report(),
        )
    return {"seconds": ends[-1] - ends[-2], "memory": mx.get_peak_memory(), "losses": losses}


SIDES: dict[str, tuple[Callable[[Path, int, int, bool], Result], bool]] = {
    "topcoat": (run_topcoat, False),
    "topcoat, grad_checkpoint": (run_topcoat, True),
    "mlx-lm": (run_mlx_lm, False),
    "mlx-lm, grad_checkpoint": (run_mlx_lm, True),
}


def _spec(adapted: int) -> Any:
    from topcoat.spec.phase import LoraSpec, TrainSpec

    return TrainSpec(
        iters=UPDATES, batch_size=1, grad_accumulation_steps=1, num_layers=adapted, patience=0, lora=LoraSpec(rank=8)
    )


def _vocabulary(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["vocab_size"])


def in_own_process(side: str, folder: Path, length: int, adapted: int) -> Result:
    """One side and length alone, so that its memory and its BLAS are its own."""
    command = [sys.executable, "-m", "benchmarks.long_rows", "--one", side, str(folder), str(length), str(adapted)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _one(side: str, folder: str, length: str, adapted: str) -> Result:
    run, recompute = SIDES[side]
    return run(Path(folder), int(length), int(adapted), recompute)


def growth(results: dict[int, Result]) -> float:
    """The exponent of the length with which memory grows, from the two longest rows."""
    shorter, longer = sorted(results)[-2:]
    return math.log(results[longer]["memory"] / results[shorter]["memory"]) / math.log(longer / shorter)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(_one(*sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="small")
    parser.add_argument("--lengths", default="1024,2048,4096,8192,16384")
    parser.add_argument("--most-mlx-lm", type=int, default=4096)
    parser.add_argument("--sides", default=";".join(SIDES), help="separated by ;")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    layers, adapted, shape = MODELS[given.model]
    training.MODELS[given.model] = {**training.MODELS["dense"], **shape}
    found: dict[str, dict[int, Result]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / given.model
        training.make_model(given.model, folder, layers)
        for side in given.sides.split(";"):
            for length in map(int, given.lengths.split(",")):
                if side.startswith("mlx-lm") and length > given.most_mlx_lm:
                    continue
                result = found.setdefault(side, {})[length] = in_own_process(side, folder, length, adapted)
                print(
                    f"{side:26}{length:8,} tokens {result['memory'] / 1e9:8.3f} GB {result['seconds']:8.1f} s an update"
                    f"   loss {result['losses'][-1]:.6f}",
                    flush=True,
                )
    for side, results in found.items():
        if len(results) > 1:
            print(f"{side}: memory grows with the length to the power of {growth(results):.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
