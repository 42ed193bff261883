"""The naive chain: each coat's examples and steps through `mlx_lm.lora` and `mlx_lm.fuse`, without replay or gate."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.real.checking import both
from benchmarks.real.commands import run, topcoat
from benchmarks.real.project import SUITE, model_folder, write_lines
from benchmarks.real.runs.coats import MOST_COATS, lineage, phase_of
from benchmarks.real.runs.general import measured
from benchmarks.real.split import read_lines
from benchmarks.real.stages import Figures, Stage, Work
from topcoat.spec.phase import PhaseSpec
from topcoat.store.files import write_json

__all__ = ["NAIVE"]

MLX_LM = ("benchmarks.real.runs.measuring", "mlx_lm")


def _folder(work: Work, number: int) -> Path:
    return work.folder / "naive" / f"coat{number}"


def _model(work: Work, number: int) -> Path:
    """The model of the chain after so many coats; the root after none."""
    return _folder(work, number) / "fused" if number else model_folder(work)


def settings(spec: PhaseSpec, model: Path, data: Path, adapter: Path, layers: int) -> dict[str, Any]:
    """What `mlx_lm.lora` reads: the phase's training in its own words."""
    train = spec.train
    schedule = {
        "name": "cosine_decay",
        "warmup": train.warmup,
        "arguments": [train.learning_rates[0], train.updates - train.warmup],
    }
    lora: dict[str, Any] = {"rank": train.lora.rank, "scale": train.lora.scale, "dropout": train.lora.dropout}
    if train.lora.keys:
        lora["keys"] = train.lora.keys
    return {
        "model": str(model),
        "train": True,
        "data": str(data),
        "adapter_path": str(adapter),
        "num_layers": layers if train.num_layers == -1 else train.num_layers,
        "batch_size": train.batch_size,
        "iters": train.iters,
        "grad_accumulation_steps": train.grad_accumulation_steps,
        "learning_rate": train.learning_rates[0],
        "lr_schedule": schedule,
        "lora_parameters": lora,
        "mask_prompt": train.mask_prompt,
        "max_seq_length": train.max_seq_length,
        "val_batches": 4,
        "steps_per_eval": train.iters,
        "save_every": train.iters,
        "seed": train.seed,
    }


def _naive(number: int, work: Work) -> Figures:
    """Train on the dequantized model, which gives the adapter of the quantized one, and fuse into the quantized one."""
    folder, name = _folder(work, number), f"naive{number}"
    shutil.rmtree(folder, ignore_errors=True)
    rows = read_lines(lineage(work) / "data" / f"coat{number}.jsonl")
    held = max(1, len(rows) // 10)
    write_lines(folder / "data" / "train.jsonl", rows[held:])
    write_lines(folder / "data" / "valid.jsonl", rows[:held])
    base, adapter, plain = _model(work, number - 1), folder / "adapter", folder / "dequantized"
    convert: list[str | Path] = [
        "convert",
        "--hf-path",
        base,
        "--mlx-path",
        plain,
        "--dequantize",
        "--dtype",
        "float32",
    ]
    run(work, f"{name}-dequantize", [*MLX_LM, *convert], work.folder)
    layers = json.loads((base / "config.json").read_text())["num_hidden_layers"]
    config = folder / "lora.yaml"  # JSON is YAML
    write_json(config, settings(phase_of(work, number), plain, folder / "data", adapter, layers))
    trained = run(work, name, [*MLX_LM, "lora", "-c", config], work.folder)
    fuse: list[str | Path] = ["fuse", "--model", base, "--adapter-path", adapter, "--save-path", _model(work, number)]
    run(work, f"{name}-fuse", [*MLX_LM, *fuse], work.folder)
    shutil.rmtree(plain)
    adapters = [_folder(work, one) / "adapter" for one in range(1, number + 1)]
    command: list[str | Path] = [
        "benchmarks.real.runs.measuring",
        "survival",
        model_folder(work),
        _model(work, number),
        *adapters,
    ]
    kept = json.loads(run(work, f"{name}-survival", command, work.folder).printed)
    evaluated = topcoat(work, lineage(work), "eval", _model(work, number), "--json", name=f"{name}-eval")
    scores = json.loads(evaluated.printed)["scores"]
    return {
        "scores": both(work, read_lines(lineage(work) / SUITE), scores),
        "fuse": kept,
        "train": trained.spent,
        "general": measured(work, name, _model(work, number)),
    }


NAIVE = tuple(
    Stage(
        f"naive{number}",
        functools.partial(_naive, number),
        needs=(f"plan{number}", *((f"naive{number - 1}",) if number > 1 else ())),
    )
    for number in range(1, MOST_COATS + 1)
)
