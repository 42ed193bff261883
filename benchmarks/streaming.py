"""Trains two rows for two steps on a model of Qwen3-30B-A3B's true shape, and says how much memory that took.

    python benchmarks/streaming.py [--folder FOLDER] [--layers 48]

The model is made on the spot: random 4-bit weights, 17 GB on disk, kept in FOLDER if one is given. What it answers is
noise; how much memory its layers take is not. The figure is the peak resident memory of the process that trained.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN, HEADS, KV_HEADS, HEAD_DIM = 2048, 32, 4, 128
EXPERTS, ACTIVE, EXPERT_WIDTH = 128, 8, 768
VOCABULARY, GROUP, BITS = 151936, 64, 4

Tensors = dict[str, np.ndarray]


def quantized(rng: np.random.Generator, name: str, *shape: int) -> Tensors:
    """A random quantized matrix (..., out, in) whose values have an rms of about 0.02."""
    *outer, width = shape
    groups = (*outer, width // GROUP)
    return {
        f"{name}.weight": rng.integers(0, 2**32, (*outer, width * BITS // 32), np.uint32),
        f"{name}.scales": np.full(groups, 0.0045, np.float16),
        f"{name}.biases": np.full(groups, -0.034, np.float16),
    }


def layer(rng: np.random.Generator, name: str) -> Tensors:
    """One decoder layer."""
    tensors: Tensors = {
        f"{name}.input_layernorm.weight": np.ones(HIDDEN, np.float16),
        f"{name}.post_attention_layernorm.weight": np.ones(HIDDEN, np.float16),
        f"{name}.self_attn.q_norm.weight": np.ones(HEAD_DIM, np.float16),
        f"{name}.self_attn.k_norm.weight": np.ones(HEAD_DIM, np.float16),
    }
    for part, out, width in (
        ("self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN),
        ("self_attn.k_proj", KV_HEADS * HEAD_DIM, HIDDEN),
        ("self_attn.v_proj", KV_HEADS * HEAD_DIM, HIDDEN),
        ("self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM),
        ("mlp.gate", EXPERTS, HIDDEN),
    ):
        tensors |= quantized(rng, f"{name}.{part}", out, width)
    for part, out, width in (
        ("gate_proj", EXPERT_WIDTH, HIDDEN),
        ("up_proj", EXPERT_WIDTH, HIDDEN),
        ("down_proj", HIDDEN, EXPERT_WIDTH),
    ):
        tensors |= quantized(rng, f"{name}.mlp.switch_mlp.{part}", EXPERTS, out, width)
    return tensors


def make_model(folder: Path, layers: int) -> None:
    """Write the model, a file a layer."""
    from topcoat.demo import TEMPLATE

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(layers):
        save_file(layer(rng, f"model.layers.{index}"), folder / f"model-{index:05d}.safetensors")
        print(f"layer {index + 1} of {layers} written", file=sys.stderr, flush=True)
    rest = quantized(rng, "model.embed_tokens", VOCABULARY, HIDDEN) | quantized(rng, "lm_head", VOCABULARY, HIDDEN)
    save_file(rest | {"model.norm.weight": np.ones(HIDDEN, np.float16)}, folder / "model-rest.safetensors")
    quantization = {"group_size": GROUP, "bits": BITS, "mode": "affine"}
    config = {
        "model_type": "qwen3_moe",
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "intermediate_size": 6144,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "num_experts": EXPERTS,
        "num_experts_per_tok": ACTIVE,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": EXPERT_WIDTH,
        "norm_topk_prob": True,
        "rms_norm_eps": 1e-6,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 40960,
        "rope_theta": 1e6,
        "tie_word_embeddings": False,
        "quantization": quantization,
        "quantization_config": quantization,
    }
    (folder / "config.json").write_text(json.dumps(config))
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def train(folder: Path) -> None:
    """Two updates of one row each, on the last 8 layers."""
    from topcoat.engine.mlx import open_engine
    from topcoat.engine.protocol import Row, TrainJob
    from topcoat.progress import Silent
    from topcoat.spec.phase import TrainSpec

    rng = np.random.default_rng(1)
    rows = [Row(rng.integers(0, VOCABULARY, 40).astype(np.int32), np.arange(40) >= 24) for _ in range(2)]
    spec = TrainSpec(iters=2, batch_size=1, grad_accumulation_steps=1, num_layers=8, patience=0)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as run:
        job = TrainJob(folder, rows, [(0,), (1,)], [], spec, 1e-5, Path(run), Path(run) / "cache")
        report = open_engine(Silent()).train(job, Silent())
    print(
        json.dumps(
            {
                "losses": [step.loss for step in report.steps],
                "seconds_per_update": [step.seconds for step in report.steps],
                "seconds": time.perf_counter() - begin,
                "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                * (1 if sys.platform == "darwin" else 1024),
            },
            indent=2,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--train-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train_only:
        train(options.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "model"
        if not folder.is_dir():
            make_model(folder, options.layers)
        subprocess.run([sys.executable, __file__, "--train-only", "--folder", str(folder)], check=True)


if __name__ == "__main__":
    main()
