"""Training beside mlx-lm's own loop, and beside PEFT on PyTorch where torch is installed: time, memory, losses.

    python benchmarks/training.py [--models dense,quantized,experts] [--prefix 650] [--rounds 3] [--json FILE]
    python benchmarks/training.py --family gemma3,gpt_oss,deepseek_v3,qwen3_5 [--layers 48] [--clock cpu] [--rows 80]

The recipe: 80 rows that share a prefix and have about 150 tokens of their own, 60 of them completion; 300 iterations of
one row, four to an update, LoRA of rank 8 on 8 of 48 layers. Every side runs in a process of its own, in turns, on the
same random model, rows, batches and initial adapters, with the same BLAS. mlx-lm's `train` is the installed one,
unmodified. A side runs the first updates of the recipe (topcoat 20, which take every row once); its total is what it
did before the first update plus 75 times its median update: an extrapolation. `--models heavy` is for memory alone: two
updates, which need the trunk of eight rows only.

`--family` has models that aren't plain: sliding windows, sinks, experts, latent attention, gated delta. `--clock cpu`
counts the seconds that a side's process computed, on all its cores, in place of those that passed. It is for a machine
with other work, and the table says so. With `--rows 20`, topcoat takes five updates of 20 rows, and what their trunk
took counts four times: each row goes through it alone.

Beside what is measured stands what two counts predict (docs/performance.md): operations alone, and seconds, from what a
token-layer took each side in models of at most 12 layers.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROWS, LAYERS, ADAPTED, RANK, SCALE, RATE = 80, 48, 8, 8, 20.0, 1e-4
ITERATIONS, ACCUMULATE, COMPLETION = 300, 4, 60
UPDATES = ITERATIONS // ACCUMULATE
VOCABULARY = 32768
"""Beside 48 layers 512 wide, as costly a head as Qwen3-Coder-30B-A3B has: that of five layers."""
_DENSE = {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8, "num_key_value_heads": 4}
_WIDE = {"hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 8}
_PACKED = {"bits": 4, "torch_dtype": "bfloat16"}
_EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 512, "norm_topk_prob": True}
MODELS: dict[str, dict[str, Any]] = {
    "dense": {"model_type": "qwen3", **_DENSE},
    "quantized": {"model_type": "qwen3", **_DENSE, "bits": 5},
    "experts": {"model_type": "qwen3_moe", **_DENSE, **_EXPERTS, "decoder_sparse_step": 1, "mlp_only_layers": []},
    "heavy": {
        "model_type": "qwen3",
        "hidden_size": 1536,
        "intermediate_size": 4608,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
    },
    "stored": {"model_type": "qwen3", **_WIDE, "intermediate_size": 6144, **_PACKED},
    "stored experts": {
        "model_type": "qwen3_moe",
        **_WIDE,
        "intermediate_size": 6144,
        "num_experts": 32,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        **_PACKED,
    },
}
"""`heavy` has 1.3 billion parameters, so that weights outweigh activations. `stored` and `stored experts` are as users
have models on a GPU: 4 bits, states in bfloat16. Their layers are those of Qwen3-1.7B, and of Qwen3-30B-A3B with a
quarter of its experts.
"""

FAMILIES: dict[str, dict[str, Any]] = {
    "gemma3": {
        "model_type": "gemma3_text",
        **_DENSE,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 64,
        "rope_local_base_freq": 1e4,
    },
    "gpt_oss": {
        "model_type": "gpt_oss",
        "hidden_size": 512,
        "intermediate_size": 512,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": 128,
        "rope_theta": 150000.0,
        "tie_word_embeddings": False,
    },
    "deepseek_v3": {
        "model_type": "deepseek_v3",
        "hidden_size": 512,
        "intermediate_size": 1536,
        "moe_intermediate_size": 512,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "q_lora_rank": 256,
        "kv_lora_rank": 128,
        "qk_rope_head_dim": 32,
        "qk_nope_head_dim": 64,
        "v_head_dim": 64,
        "first_k_dense_replace": 3,
        "tie_word_embeddings": False,
    },
    "qwen3_5": {
        "model_type": "qwen3_5",
        **_DENSE,
        "linear_num_value_heads": 8,
        "linear_num_key_heads": 8,
        "linear_key_head_dim": 64,
        "linear_value_head_dim": 64,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4,
        "partial_rotary_factor": 0.25,
        "num_experts": 0,
    },
}
"""As wide as `dense`, in the proportions of their families."""

Result = dict[str, Any]

clock = time.process_time if "cpu" in sys.argv else time.perf_counter
"""What measures seconds."""


def make_model(name: str, folder: Path, layers: int = LAYERS) -> None:
    """A random model, in float32 and not quantized unless its kind says so."""
    import mlx.core as mx
    from mlx.utils import tree_map
    from mlx_lm.utils import quantize_model, save_model

    from topcoat.demo import TEMPLATE

    shape = dict((MODELS | FAMILIES)[name])
    bits = shape.pop("bits", None)
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "num_hidden_layers": layers,
        "head_dim": shape["hidden_size"] // shape["num_attention_heads"],
        "rms_norm_eps": 1e-6,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 4096,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        **shape,
    }
    if shape["model_type"] == "qwen3_5":
        config = {
            "model_type": "qwen3_5",
            "text_config": {**config, "model_type": "qwen3_5_text"},
            "torch_dtype": "float32",
        }
    module = importlib.import_module(f"mlx_lm.models.{shape['model_type']}")
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(config))
    dtype = getattr(mx, config["torch_dtype"])
    model.update(tree_map(lambda weight: weight.astype(dtype), model.parameters()))
    if bits:
        model, config = quantize_model(model, config, 64, bits)
    folder.mkdir(parents=True)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config))
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def recipe(prefix: int) -> tuple[list[np.ndarray], list[int]]:
    """Token ids of each row, and the row of each iteration; the last 60 tokens of a row are trained."""
    rng = np.random.default_rng(0)
    shared = rng.integers(0, VOCABULARY, prefix)
    rows = [
        np.concatenate([shared, rng.integers(0, VOCABULARY, int(rng.integers(120, 181)))]).astype(np.int32)
        for _ in range(ROWS)
    ]
    order = [int(row) for _ in range(-(-ITERATIONS // ROWS)) for row in rng.permutation(ROWS)]
    return rows, order[:ITERATIONS]


class Watch:
    """A sink that looks at the clock after every update, and before the first."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.began = 0.0

    def emit(self, event: object) -> None:
        from topcoat.progress import Advanced, Started

        if isinstance(event, Started | Advanced) and event.name == "train":
            self.began = self.began or time.perf_counter()
            self.ends.append(clock())


def run_topcoat(folder: Path, prefix: int, updates: int, cache: Path, adapted: int) -> Result:
    """Topcoat's own training of the first updates."""
    from topcoat.engine.mlx import open_engine
    from topcoat.engine.protocol import Row, TrainJob
    from topcoat.progress import Silent

    engine = open_engine(Silent())
    import mlx.core as mx

    tokens, order = recipe(prefix)
    rows = [Row(ids, np.arange(len(ids)) >= len(ids) - COMPLETION) for ids in tokens]
    batches = [(row,) for row in order[: updates * ACCUMULATE]]
    with tempfile.TemporaryDirectory() as run:
        begin, began, watch = clock(), time.perf_counter(), Watch()
        job = TrainJob(folder, rows, batches, [], _spec(updates * ACCUMULATE, adapted), RATE, Path(run), cache)
        report = engine.train(job, watch)
        total = clock() - begin
    seconds = [end - start for start, end in pairwise(watch.ends)]
    losses = [step.loss for step in report.steps]
    # The trunk's part of what came before, by the clock on the wall, also counts for the rows that weren't taken.
    others = ROWS / len({row for batch in batches for row in batch}) - 1
    before = (total - sum(seconds)) * (1 + others * report.trunk_seconds / (watch.began - began))
    return {"updates": seconds, "before": before, "losses": losses, "memory": mx.get_peak_memory()}


def run_mlx_lm(folder: Path, prefix: int, updates: int, cache: Path, adapted: int, *, fast: bool = True) -> Result:
    """mlx-lm's `train`, its batches handed to it; without `fast`, with the BLAS that pip installs."""
    if fast:
        from topcoat.engine.mlx.cpu.blas import load_fast_blas

        load_fast_blas()
    import mlx.core as mx
    import mlx.optimizers as optimizers
    from mlx_lm.tuner import trainer
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.utils import load_model

    from topcoat.engine.mlx.model.lora import attach

    ends, losses = [], []

    class Report(TrainingCallback):  # type: ignore[misc]  # mlx-lm is untyped
        def on_train_loss_report(self, train_info: Result) -> None:
            losses.append(float(train_info["train_loss"]))
            ends.append(clock())

    tokens, order = recipe(prefix)

    def batches(**_: object) -> Iterator[tuple[mx.array, mx.array]]:
        for row in order:
            ids = tokens[row]
            # A width of a multiple of 8 as topcoat pads, and mlx-lm's mask: from the first trained to the last token.
            last = len(ids) - 1
            yield mx.array(np.pad(ids, (0, -last % 8))[None]), mx.array([[len(ids) - COMPLETION, last]])

    begin = clock()
    model, _ = load_model(folder)
    spec = _spec(updates * ACCUMULATE, adapted)
    mx.random.seed(spec.seed << 32)  # as topcoat seeds the adapters
    attach(model, spec)
    with tempfile.TemporaryDirectory() as run:
        arguments = trainer.TrainingArgs(
            batch_size=1,
            iters=updates * ACCUMULATE,
            steps_per_report=1,
            steps_per_save=10**9,
            grad_accumulation_steps=ACCUMULATE,
            adapter_file=str(Path(run) / "adapters.safetensors"),
        )
        started = clock()
        trainer.train(
            model, optimizers.Adam(RATE), [], None, arguments, iterate_batches=batches, training_callback=Report()
        )
    iterations = [after - before for before, after in pairwise([started, *ends])]
    per_update = [sum(iterations[i : i + ACCUMULATE]) for i in range(0, len(iterations), ACCUMULATE)]
    means = [statistics.fmean(losses[i : i + ACCUMULATE]) for i in range(0, len(losses), ACCUMULATE)]
    return {"updates": per_update, "before": started - begin, "losses": means, "memory": mx.get_peak_memory()}


def run_peft(folder: Path, prefix: int, updates: int, cache: Path, adapted: int) -> Result:
    """PEFT on PyTorch, with torch's own kernels: the plain loop of its documentation. On the GPU if torch has one."""
    peft, torch, transformers = (importlib.import_module(name) for name in ("peft", "torch", "transformers"))

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    begin = clock()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = peft.LoraConfig(
        r=RANK,
        lora_alpha=SCALE * RANK,
        target_modules=names,
        layers_to_transform=list(range(LAYERS - adapted, LAYERS)),
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(model, config)
    model = model.to(device)
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=RATE)
    tokens, order = recipe(prefix)
    started = clock()
    seconds, losses = [], []
    for update in range(updates):
        mean = 0.0
        tick = clock()
        for row in order[update * ACCUMULATE : (update + 1) * ACCUMULATE]:
            ids = torch.tensor(tokens[row][None].astype(np.int64), device=device)
            labels = ids.clone()
            labels[:, :-COMPLETION] = -100
            loss = model(input_ids=ids, labels=labels).loss / ACCUMULATE
            loss.backward()
            mean += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - tick)
        losses.append(mean)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    return {"updates": seconds, "before": started - begin, "losses": losses, "memory": memory}


SIDES: dict[str, Callable[[Path, int, int, Path, int], Result]] = {
    "topcoat": run_topcoat,
    "topcoat again": run_topcoat,
    "mlx-lm": run_mlx_lm,
    "mlx-lm as installed": lambda *given: run_mlx_lm(*given, fast=False),
    "peft": run_peft,
}


def _spec(iterations: int, adapted: int) -> Any:
    from topcoat.spec.phase import LoraSpec, TrainSpec

    return TrainSpec(
        iters=iterations,
        batch_size=1,
        grad_accumulation_steps=ACCUMULATE,
        num_layers=adapted,
        patience=0,
        save_every=ITERATIONS,
        lora=LoraSpec(rank=RANK, scale=SCALE),
    )


def in_own_process(side: str, folder: Path, prefix: int, updates: int, cache: Path, adapted: int = ADAPTED) -> Result:
    """Run one side alone, so that its memory and its BLAS are its own."""
    arguments = ["--side", side, str(folder), str(prefix), str(updates), str(cache), str(adapted)]
    arguments += ["cpu"] * (clock is time.process_time)
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def total_of(result: Result) -> float:
    """Seconds of the whole recipe; the first update, which also warms up, is counted as it was."""
    steady = result["updates"][1:] or result["updates"]
    return float(result["before"] + result["updates"][0] + (UPDATES - 1) * statistics.median(steady))


def predicted(name: str, prefix: int, scratch: Path) -> dict[str, float]:
    """Seconds of the whole recipe, by side, from what a layer takes in small models.

    `few` has two adapted layers over two others; `deep` eight others more, `tall` six adapted ones more. Other layers
    cost mlx-lm time in every update, and topcoat before the first one.
    """
    few, deep, tall = (4, 2), (12, 2), (10, 8)
    more_others, more_adapted = (LAYERS - ADAPTED - 2) / 8, (ADAPTED - 2) / 6
    seconds: dict[str, float] = {}
    for side, updates in (("topcoat", 20), ("mlx-lm", 3)):
        before, update = {}, {}
        for layers, adapted in (few, deep, tall):
            print(f"{name}: {side}, {layers} layers, {adapted} adapted", file=sys.stderr, flush=True)
            folder = scratch / f"{name}-{layers}"
            if not folder.exists():
                make_model(name, folder, layers)
            cache = scratch / f"{name}-{layers}-{adapted}-cache"
            run = in_own_process(side, folder, prefix, updates, cache, adapted)
            before[layers, adapted] = run["before"]
            update[layers, adapted] = statistics.median(run["updates"][1:])
        one = update[few] + more_adapted * (update[tall] - update[few])
        first = before[few]
        if side == "topcoat":
            first += more_others * (before[deep] - before[few])
            seconds["topcoat again"] = UPDATES * one
        else:
            one += more_others * (update[deep] - update[few])
        seconds[side] = first + UPDATES * one
    return seconds


def operations(name: str, prefix: int) -> dict[str, float]:
    """Floating-point operations of the whole recipe, by side: docs/performance.md explains the count."""
    shape = MODELS[name]
    width, heads = shape["hidden_size"], shape["num_attention_heads"]
    attended = width // heads * heads
    kept = shape["num_key_value_heads"] / heads
    experts = shape.get("num_experts_per_tok", 1)
    inner = shape.get("moe_intermediate_size", shape.get("intermediate_size", 0))
    matrices = 2 * width * (attended * (2 + 2 * kept) + 3 * inner * experts)
    own, all_layers, top = 150, LAYERS, ADAPTED

    def layer(tokens: float, context: float) -> float:
        return float(tokens * (matrices + 4 * context * attended))

    head = 2 * width * VOCABULARY
    row = prefix + own
    stock = ITERATIONS * (layer(row, row) * (all_layers + top) + 2 * row * head)
    trunk = (layer(prefix, prefix) + ROWS * layer(own, row)) * (all_layers - top)
    shared = 2 * layer(prefix, prefix) * (top - 1)
    single = 2 * (layer(own, row) * (top - 1) + layer(COMPLETION, row) + COMPLETION * head)
    return {"mlx-lm": stock, "topcoat": trunk + UPDATES * shared + ITERATIONS * single,
            "topcoat again": UPDATES * shared + ITERATIONS * single}  # fmt: skip


def compare(
    name: str, prefix: int, rounds: int, scratch: Path, counts: dict[str, int], prediction: bool, layers: int
) -> Result:
    """Every side on one model, in turns; medians over the rounds."""
    folder = scratch / name
    make_model(name, folder, layers)
    runs: dict[str, list[Result]] = {side: [] for side in counts}
    for number in range(rounds):
        cache = scratch / f"{name}-{number}"
        for side, updates in counts.items():
            if number and side == "mlx-lm as installed":
                continue
            print(f"{name}: {side}, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            runs[side].append(in_own_process(side, folder, prefix, updates, cache))
        shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(folder)
    summary: Result = {}
    for side, results in runs.items():
        summary[side] = {
            "before": statistics.median(r["before"] for r in results),
            "update": statistics.median(s for r in results for s in (r["updates"][1:] or r["updates"])),
            "total": statistics.median(total_of(r) for r in results),
            "memory": max(r["memory"] for r in results),
        }
    ours, theirs = runs["topcoat"][0]["losses"], runs["mlx-lm"][0]["losses"]
    apart = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=False))
    counted = operations(name, prefix) if name in MODELS else {}
    told = predicted(name, prefix, scratch) if prediction else {}
    return {
        "prefix": prefix,
        "sides": summary,
        "layers": layers,
        "operations": {side: counted["mlx-lm"] / count for side, count in counted.items()},
        "predicted": told,
        "losses_apart": apart,
        "compared_updates": len(theirs),
    }


def show(name: str, result: Result) -> None:
    """One table."""
    told = " (seconds of computing)" if clock is time.process_time else ""
    apart = f"losses within {result['losses_apart']:.1e} of mlx-lm's"
    print(f"\n{name}, {ADAPTED} of {result['layers']} layers, prefix {result['prefix']}: {apart}{told}", flush=True)
    if name == "heavy":
        for side, row in result["sides"].items():
            print(f"{side:22}{row['update']:8.2f}s an update{row['memory'] / 1e9:8.2f}GB")
        return
    own = result["sides"]["topcoat"]["total"]
    again = result["sides"].get("topcoat again", {}).get("total", own)
    if result["operations"]:
        counted = ", ".join(f"{result['operations'][side]:.1f} times {side}'s" for side in ("topcoat", "topcoat again"))
        print(f"mlx-lm's operations are {counted}")
    print(
        f"{'':20}{'before':>8}{'update':>9}{'total':>8}{'predicted':>11}{'memory':>10}{'to first':>10}{'to again':>10}"
    )
    for side, row in result["sides"].items():
        told = f"{result['predicted'][side]:10.0f}s" if side in result["predicted"] else " " * 11
        print(
            f"{side:20}{row['before']:7.1f}s{row['update']:8.2f}s{row['total']:7.0f}s{told}{row['memory'] / 1e9:8.2f}GB"
            f"{row['total'] / own:10.2f}{row['total'] / again:10.2f}"
        )


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        side, folder, prefix, updates, cache, adapted = sys.argv[2:8]
        print(json.dumps(SIDES[side](Path(folder), int(prefix), int(updates), Path(cache), int(adapted))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="dense")
    parser.add_argument("--family", default="", help=f"in place of models: {', '.join(FAMILIES)}")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--clock", choices=("passed", "cpu"), default="passed")
    parser.add_argument("--prefix", type=int, default=650)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=4, help="of mlx-lm and PEFT")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"that topcoat takes, of {ROWS}")
    parser.add_argument("--installed", action="store_true", help="also mlx-lm with the BLAS that pip installs")
    parser.add_argument("--prediction", action=argparse.BooleanOptionalAction, default=True, help="from small models")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    updates = options.rows // ACCUMULATE
    counts = {"topcoat": updates, "topcoat again": min(8, updates), "mlx-lm": options.updates}
    if options.installed:
        counts["mlx-lm as installed"] = 1
    if importlib.util.find_spec("peft"):
        counts["peft"] = options.updates
    report: Result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}", "models": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for name in (options.family or options.models).split(","):
            sides = {side: n for side, n in counts.items() if side != "peft" or name == "dense"}
            if name == "heavy":
                sides = {"topcoat": 2, "mlx-lm": 2}
            prediction = options.prediction and name in MODELS and name != "heavy"
            report["models"][name] = compare(
                name, options.prefix, options.rounds, Path(scratch), sides, prediction, options.layers
            )
            show(name, report["models"][name])
            if options.json:
                options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
