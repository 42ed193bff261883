"""Many thin coats: does each delta survive, and does the sum of all? topcoat's fuse beside `mlx_lm.fuse`.

    python -m benchmarks.layering [--phases 5] [--json FILE] [--plot FILE.svg]

Four parts. A matrix 1,024 wide on the 5-bit grid takes one delta of a given size. A stack of such layers takes ten
deltas, one after another. Of 48 layers at 4 bits, the last 8 take a delta, and the whole model's size is compared with
that of 6 bits throughout. The embedded model takes small-rate phases, each trained on what the one before it fused.
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
from topcoat.engine.mlx.compute import Compute
from topcoat.progress import Silent

ENGINE = open_engine(Silent())

import mlx.core as mx  # noqa: E402  # after the fast BLAS

from benchmarks.layering_plot import draw  # noqa: E402
from topcoat.demo import TEMPLATE  # noqa: E402
from topcoat.engine.mlx.fuse.fused_folder import weight_sizes  # noqa: E402
from topcoat.engine.mlx.model.folder import load  # noqa: E402
from topcoat.engine.mlx.model.lora import adapter_config, adapter_weights, attach, load_adapter  # noqa: E402
from topcoat.engine.mlx.numbers import scalar  # noqa: E402
from topcoat.engine.mlx.train.forward import WholeForward  # noqa: E402
from topcoat.engine.protocol import FuseJob, Row, TrainJob  # noqa: E402
from topcoat.phases.preparation import prepare  # noqa: E402
from topcoat.project.session import open_session  # noqa: E402
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec  # noqa: E402

GROUP = 64
SIZES = (0.005, 0.01, 0.02, 0.05)
Result = dict[str, Any]


def make_stack(folder: Path, layers: int, width: int, bits: int, dtype: mx.Dtype) -> Path:
    """A random qwen3 model, quantized: every weight lies on its grid."""
    from mlx_lm.models import qwen3
    from mlx_lm.utils import quantize_model, save_model

    config = {
        "model_type": "qwen3",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "intermediate_size": 2 * width,
        "num_attention_heads": width // 128,
        "num_key_value_heads": width // 256,
        "head_dim": 128,
        "rms_norm_eps": 1e-6,
        "vocab_size": 2048,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    mx.random.seed(0)
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model.set_dtype(dtype)
    model, config = quantize_model(model, config, GROUP, bits)
    folder.mkdir(parents=True)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config))
    copy_tokenizer(folder)
    return folder


def copy_tokenizer(folder: Path) -> None:
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def make_adapter(model: Path, folder: Path, size: float, seed: int, layers: int = 2) -> Path:
    """A random adapter of rank 8 whose deltas have `size` times the rms of the weights, on the last layers."""
    spec = TrainSpec(num_layers=layers, lora=LoraSpec(rank=8, scale=1.0))
    loaded = load(model, Compute.DEQUANTIZED)
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
    (folder / "adapter_config.json").write_text(json.dumps(adapter_config(spec, layers)))
    return folder


def fuse_plainly(base: Path, adapter: Path, output: Path, *options: str) -> Path:
    """What mlx-lm's own command makes of it."""
    run_mlx_lm("fuse", "--model", base, "--adapter-path", adapter, "--save-path", output, *options)
    return output


def run_mlx_lm(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "mlx_lm", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def fuse_from_masters(
    base: Path, root: Path, adapters: list[Path], output: Path, valid: list[Row], spec: FuseSpec | None = None
) -> Path:
    ENGINE.fuse(FuseJob(base, root, adapters, spec or FuseSpec(), valid, output), Silent())
    return output


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Every adapted matrix as the model computes with it."""
    model = load(folder, Compute.DEQUANTIZED).model
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
    root = make_stack(scratch / "stack", layers=2, width=1024, bits=5, dtype=mx.float32)
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


def sizes(scratch: Path) -> list[Result]:
    """Bits per weight of the whole model, embedding included, and survival, where 8 of 48 layers are adapted."""
    root = make_stack(scratch / "deep", layers=48, width=256, bits=4, dtype=mx.float16)
    before = weights_of(root)
    random = np.random.default_rng(0)
    tokens = random.integers(5, 2000, (8, 64), dtype=np.int32)
    valid = [Row(row, np.arange(64) > 0) for row in tokens]
    eight = FuseSpec(bits=8, min_survival=0.0)
    rows = []
    for size in SIZES[:3]:
        adapter = make_adapter(root, scratch / f"deep-delta-{size}", size, seed=1, layers=8)
        meant = deltas_of(adapter)
        plain = fuse_plainly(root, adapter, scratch / f"deep-plain-{size}", "--dequantize")
        uniform = scratch / f"deep-uniform-{size}"
        run_mlx_lm("convert", "--hf-path", plain, "--mlx-path", uniform, "-q", "--q-bits", "6")
        folders = {
            "uniform 6": uniform,
            "auto": fuse_from_masters(root, root, [adapter], scratch / f"deep-auto-{size}", valid),
            "8 bits": fuse_from_masters(root, root, [adapter], scratch / f"deep-8-{size}", valid, eight),
        }
        row: Result = {"delta": size}
        for name, folder in folders.items():
            size_on_disk, bits_per_weight = weight_sizes(folder)
            kept = survival(before, weights_of(folder), meant)
            row |= {f"{name}: MB": size_on_disk / 1e6, f"{name}: bits": bits_per_weight, f"{name}: survival": kept}
        rows.append(row)
    return rows


def embedded_phases(scratch: Path, phases: int, rate: float) -> list[Result]:
    """Small-rate phases on the embedded model: each trains on a share of the examples, on what was fused before."""
    project = scratch / "project"
    shutil.copytree(TEMPLATE, project)
    with open_session(project, ENGINE, Silent(), "benchmark") as session:
        prepared = prepare(session, project / "phases" / "phase34a.toml")
        root = session.model("production").path
    spec = prepared.spec.train.model_copy(
        update={"iters": 20, "warmup": 2, "steps_per_eval": 20, "learning_rate": rate, "patience": 0}
    )
    batches = next(iter(prepared.batches.values()))
    before = weights_of(root)
    sides: dict[str, Path] = {"mlx_lm": root, "topcoat": root}
    adapters: dict[str, list[Path]] = {"mlx_lm": [], "topcoat": []}
    meant: dict[str, dict[str, np.ndarray]] = {"mlx_lm": {}, "topcoat": {}}
    rows: list[Result] = []
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
            trained = sides[side]
            if side == "mlx_lm":
                sides[side] = fuse_plainly(sides[side], folder / "adapter", output)
            else:
                sides[side] = fuse_from_masters(sides[side], root, adapters[side], output, prepared.valid)
            row[f"{side}_loss"] = _loss(sides[side], prepared.valid)
            row[f"{side}_kl"] = _kl(trained, folder / "adapter", sides[side], prepared.valid)
            row[side] = survival(before, weights_of(sides[side]), meant[side])
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def _loss(folder: Path, rows: list[Row]) -> float:
    """Mean validation loss of a model, nats per token."""
    model, forward = load(folder, Compute.DEQUANTIZED).model, WholeForward()
    losses = weights = 0.0
    for start in range(0, len(rows), 8):
        loss, weight = forward.loss(model, *forward.arrays(rows[start : start + 8]))
        losses, weights = losses + scalar(loss), weights + scalar(weight)
    return losses / weights


def _kl(base: Path, adapter: Path, fused: Path, rows: list[Row]) -> float:
    """Mean KL(base + adapter || fused) over all validation tokens, nats per token; both as loaded from disk."""
    intended, written = load(base, Compute.DEQUANTIZED).model, load(fused, Compute.DEQUANTIZED).model
    load_adapter(intended, adapter)
    total, tokens = 0.0, 0
    for row in rows:
        p, q = (_log_probabilities(model, row) for model in (intended, written))
        total += scalar((mx.exp(p) * (p - q)).sum())
        tokens += p.shape[0]
    return total / tokens


def _log_probabilities(model: Any, row: Row) -> mx.array:
    """At the trained positions of a row, float32 (positions, vocabulary)."""
    logits = model(mx.array(row.tokens[None, :-1]))[0][mx.array(row.trained[1:].nonzero()[0])].astype(mx.float32)
    log_probabilities: mx.array = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return log_probabilities


def show(title: str, rows: list[Result]) -> None:
    columns = list(rows[-1])
    print(f"\n{title}\n" + "".join(f"{column:>20}" for column in columns))
    for row in rows:
        print("".join(f"{row[column]:20.4g}" if column in row else f"{'':20}" for column in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        phases = embedded_phases(scratch, options.phases, options.rate)
        report = {
            "one delta on a 5-bit grid: survival": single_deltas(scratch),
            "ten deltas of 1%: survival of their sum": successive_deltas(scratch),
            "8 of 48 layers adapted, on 4 bits: size and survival": sizes(scratch),
            "small-rate phases on the embedded model": phases,
        }
    for title, rows in report.items():
        show(title, rows)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.plot:
        options.plot.write_text(draw(phases))


if __name__ == "__main__":
    main()
