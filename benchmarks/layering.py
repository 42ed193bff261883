"""Many thin coats: does each delta survive, and does the sum of all? topcoat's fuse beside `mlx_lm.fuse`.

    python benchmarks/layering.py [--phases 5] [--json FILE]

Three parts. A matrix 1,024 wide on the 5-bit grid takes one delta of a given size. A stack of such layers takes ten
deltas, one after another. The embedded model takes small-rate phases, each trained on what the one before it fused.
Survival is <what changed, what was meant to change> / <what was meant to change, itself>: 1 is lossless.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from topcoat.engine.mlx import open_engine
from topcoat.progress import Silent

ENGINE = open_engine(Silent())

import mlx.core as mx  # noqa: E402  # after the fast BLAS

from topcoat.demo import TEMPLATE  # noqa: E402
from topcoat.engine.base import FuseJob, Row, TrainJob  # noqa: E402
from topcoat.engine.mlx.forward import WholeForward  # noqa: E402
from topcoat.engine.mlx.lora import adapter_config, adapter_weights, attach  # noqa: E402
from topcoat.engine.mlx.model import load  # noqa: E402
from topcoat.engine.mlx.scalar import scalar  # noqa: E402
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec  # noqa: E402
from topcoat.workflow import open_workspace, prepare  # noqa: E402

WIDTH, GROUP, BITS = 1024, 64, 5
SIZES = (0.005, 0.01, 0.02, 0.05)
Result = dict[str, Any]


def make_stack(folder: Path) -> None:
    """Two qwen3 layers 1,024 wide, quantized to 5 bits: every weight lies on its grid."""
    from mlx_lm.models import qwen3
    from mlx_lm.utils import quantize_model, save_model

    config = {
        "model_type": "qwen3",
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "intermediate_size": 2 * WIDTH,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "rms_norm_eps": 1e-6,
        "vocab_size": 2048,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    mx.random.seed(0)
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model, config = quantize_model(model, config, GROUP, BITS)
    folder.mkdir(parents=True)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config))
    copy_tokenizer(folder)


def copy_tokenizer(folder: Path) -> None:
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def make_adapter(model: Path, folder: Path, size: float, seed: int) -> Path:
    """A random adapter of rank 8 whose deltas have `size` times the rms of the weights, on both layers."""
    spec = TrainSpec(num_layers=-1, lora=LoraSpec(rank=8, scale=1.0))
    loaded = load(model)
    plain = {name: module.weight for name, module in loaded.model.named_modules() if "weight" in module}
    attach(loaded.model, spec)
    mx.random.seed(seed)
    weights = adapter_weights(loaded.model)
    for name in list(weights):
        if not name.endswith("lora_b"):
            continue
        module = name.removesuffix(".lora_b")
        a, b = weights[f"{module}.lora_a"], mx.random.normal(weights[name].shape)
        wanted = size * scalar(plain[module].square().mean().sqrt())
        weights[name] = b * (wanted / scalar((a @ b).square().mean().sqrt()))
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    (folder / "adapter_config.json").write_text(json.dumps(adapter_config(spec, 2)))
    return folder


def fuse_plainly(base: Path, adapter: Path, output: Path) -> Path:
    """What mlx-lm's own command makes of it."""
    command = [
        sys.executable,
        "-m",
        "mlx_lm",
        "fuse",
        "--model",
        base,
        "--adapter-path",
        adapter,
        "--save-path",
        output,
    ]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return output


def fuse_from_masters(base: Path, root: Path, adapters: list[Path], output: Path, valid: list[Row]) -> Path:
    ENGINE.fuse(FuseJob(base, root, adapters, FuseSpec(), valid, output), Silent())
    return output


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Every adapted matrix as the model computes with it."""
    model = load(folder).model
    return {name: np.array(module.weight) for name, module in model.named_modules() if "_proj" in name}


def deltas_of(adapter: Path) -> dict[str, np.ndarray]:
    """What an adapter means to add, by module."""
    stored = mx.load(str(adapter / "adapters.safetensors"))
    scale = json.loads((adapter / "adapter_config.json").read_text())["lora_parameters"]["scale"]
    assert isinstance(stored, dict)
    names = {name.removesuffix(".lora_a") for name in stored if name.endswith(".lora_a")}
    return {n: np.array(scale * (stored[f"{n}.lora_a"] @ stored[f"{n}.lora_b"]).T) for n in sorted(names)}


def survival(before: dict[str, np.ndarray], after: dict[str, np.ndarray], meant: dict[str, np.ndarray]) -> float:
    """Over all modules together."""
    kept = sum(float(((after[name] - before[name]) * delta).sum()) for name, delta in meant.items())
    return kept / sum(float((delta * delta).sum()) for delta in meant.values())


def single_deltas(scratch: Path) -> list[Result]:
    """One delta of each size on the 5-bit grid."""
    root = scratch / "stack"
    before = weights_of(root)
    rows = []
    for size in SIZES:
        adapter = make_adapter(root, scratch / f"delta-{size}", size, seed=1)
        meant = deltas_of(adapter)
        plain = fuse_plainly(root, adapter, scratch / f"plain-{size}")
        ours = fuse_from_masters(root, root, [adapter], scratch / f"ours-{size}", [])
        rows.append(
            {
                "delta": size,
                "mlx_lm": survival(before, weights_of(plain), meant),
                "topcoat": survival(before, weights_of(ours), meant),
            }
        )
    return rows


def successive_deltas(scratch: Path, count: int = 10, size: float = 0.01) -> list[Result]:
    """Ten deltas on the stack; the survival of the sum of those so far."""
    root = scratch / "stack"
    before = weights_of(root)
    plain = ours = root
    adapters: list[Path] = []
    rows = []
    total: dict[str, np.ndarray] = {}
    for number in range(1, count + 1):
        adapter = make_adapter(root, scratch / f"step-{number}", size, seed=10 + number)
        adapters.append(adapter)
        for name, delta in deltas_of(adapter).items():
            total[name] = total.get(name, 0.0) + delta
        plain = fuse_plainly(plain, adapter, scratch / f"plain-step-{number}")
        ours = fuse_from_masters(ours, root, adapters, scratch / f"ours-step-{number}", [])
        rows.append(
            {
                "coats": number,
                "mlx_lm": survival(before, weights_of(plain), total),
                "topcoat": survival(before, weights_of(ours), total),
            }
        )
    return rows


def embedded_phases(scratch: Path, phases: int, rate: float) -> list[Result]:
    """Small-rate phases on the embedded model: each trains on a share of the examples, on what was fused before."""
    project = scratch / "project"
    shutil.copytree(TEMPLATE, project)
    with open_workspace(project, ENGINE, Silent(), "benchmark") as workspace:
        prepared = prepare(workspace, project / "phases" / "phase34a.toml")
        root = workspace.model("production").path
    spec = prepared.spec.train.model_copy(
        update={"iters": 20, "warmup": 2, "steps_per_eval": 20, "learning_rate": rate, "patience": 0}
    )
    batches = next(iter(prepared.batches.values()))
    before = weights_of(root)
    sides: dict[str, Path] = {"mlx_lm": root, "topcoat": root}
    adapters: dict[str, list[Path]] = {"mlx_lm": [], "topcoat": []}
    meant: dict[str, dict[str, np.ndarray]] = {"mlx_lm": {}, "topcoat": {}}
    rows: list[Result] = [{"coats": 0, "loss": _loss(root, prepared.valid)}]
    for number in range(1, phases + 1):
        row: Result = {"coats": number}
        for side in sides:
            folder = scratch / f"{side}-{number}"
            job = TrainJob(
                sides[side], prepared.rows, batches[(number - 1) * 20 : number * 20], prepared.valid, spec, rate,
                folder, scratch / "cache",
            )  # fmt: skip
            row[f"{side}_unfused"] = ENGINE.train(job, Silent()).validations[-1].loss
            adapters[side].append(folder / "adapter")
            for name, delta in deltas_of(folder / "adapter").items():
                meant[side][name] = meant[side].get(name, 0.0) + delta
            output = scratch / f"{side}-fused-{number}"
            if side == "mlx_lm":
                sides[side] = fuse_plainly(sides[side], folder / "adapter", output)
            else:
                sides[side] = fuse_from_masters(sides[side], root, adapters[side], output, prepared.valid)
            row[f"{side}_loss"] = _loss(sides[side], prepared.valid)
            row[side] = survival(before, weights_of(sides[side]), meant[side])
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def _loss(folder: Path, rows: list[Row]) -> float:
    """Mean validation loss of a model, nats per token."""
    model, forward = load(folder).model, WholeForward()
    losses = weights = 0.0
    for start in range(0, len(rows), 8):
        loss, weight = forward.loss(model, *forward.arrays(rows[start : start + 8]))
        losses, weights = losses + scalar(loss), weights + scalar(weight)
    return losses / weights


def show(title: str, rows: list[Result]) -> None:
    columns = list(rows[-1])
    print(f"\n{title}\n" + "".join(f"{column:>18}" for column in columns))
    for row in rows:
        print("".join(f"{row[column]:18.4g}" if column in row else f"{'':18}" for column in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        make_stack(scratch / "stack")
        report = {
            "one delta on a 5-bit grid: survival": single_deltas(scratch),
            "ten deltas of 1%: survival of their sum": successive_deltas(scratch),
            "small-rate phases on the embedded model": embedded_phases(scratch, options.phases, options.rate),
        }
    for title, rows in report.items():
        show(title, rows)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
