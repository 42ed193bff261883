"""What a phase takes on models of several sizes, by the estimate of `topcoat check`: time, memory and disk.

    python -m benchmarks.sizes [--sizes 0.1B,0.6B] [--work FOLDER] [--write]

Each model is made on the spot: random weights in 4 bits, in the shape of a model that people use. What it answers is
noise; what its layers cost is not. The phase has the embedded project's 80 examples and the defaults of every key.
--write makes docs/sizes.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.streaming import Tensors, quantized
from topcoat.demo import TEMPLATE

PAGE = Path(__file__).parents[1] / "docs" / "sizes.md"
GROUP = 64
PHASE = """\
[data]
train = ["data/phase34a.jsonl"]
valid = "data/phase34a-valid.jsonl"
replay = 0.0

[gate]
evidence = "mean"
no_regression = ["git"]
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """A dense Qwen3: the model whose shape it is, and its widths."""

    model: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int = 151936
    head: int = 128

    @property
    def parameters(self) -> int:
        attention = self.head * (2 * self.heads + 2 * self.kv_heads)
        return self.vocabulary * self.hidden + self.layers * self.hidden * (attention + 3 * self.inner)


SHAPES = {
    "0.1B": Shape("SmolLM2-135M", 30, 576, 1536, 9, 3, 49152, 64),
    "0.6B": Shape("Qwen3-0.6B", 28, 1024, 3072, 16, 8),
    "1.7B": Shape("Qwen3-1.7B", 28, 2048, 6144, 16, 8),
    "4B": Shape("Qwen3-4B", 36, 2560, 9728, 32, 8),
    "8B": Shape("Qwen3-8B", 36, 4096, 12288, 32, 8),
}


def make_model(folder: Path, shape: Shape) -> None:
    """Write the model, a file a layer; its embedding is its head."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(shape.layers):
        save_file(_layer(rng, f"model.layers.{index}", shape), folder / f"model-{index:05d}.safetensors")
    rest = quantized(rng, "model.embed_tokens", shape.vocabulary, shape.hidden)
    rest["model.norm.weight"] = np.ones(shape.hidden, np.float16)
    save_file(rest, folder / "model-rest.safetensors")
    quantization = {"group_size": GROUP, "bits": 4, "mode": "affine"}
    config = {
        "model_type": "qwen3",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.inner,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "rms_norm_eps": 1e-6,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": 40960,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "quantization": quantization,
        "quantization_config": quantization,
    }
    (folder / "config.json").write_text(json.dumps(config))
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def _layer(rng: np.random.Generator, name: str, shape: Shape) -> Tensors:
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    tensors: Tensors = {
        f"{name}.{norm}.weight": np.ones(width, np.float16)
        for norm, width in (
            ("input_layernorm", shape.hidden),
            ("post_attention_layernorm", shape.hidden),
            ("self_attn.q_norm", shape.head),
            ("self_attn.k_norm", shape.head),
        )
    }
    for part, out, width in (
        ("self_attn.q_proj", queries, shape.hidden),
        ("self_attn.k_proj", keys, shape.hidden),
        ("self_attn.v_proj", keys, shape.hidden),
        ("self_attn.o_proj", shape.hidden, queries),
        ("mlp.gate_proj", shape.inner, shape.hidden),
        ("mlp.up_proj", shape.inner, shape.hidden),
        ("mlp.down_proj", shape.hidden, shape.inner),
    ):
        tensors |= quantized(rng, f"{name}.{part}", out, width)
    return tensors


def checked(folder: Path, shape: Shape) -> dict[str, Any]:
    """What `topcoat check` says of a phase on a model of this shape, in a project in `folder`."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("phase33b", "__pycache__"))
    make_model(folder / "models" / "phase33b", shape)
    (folder / "phases" / "sizes.toml").write_text(PHASE)
    command = [sys.executable, "-m", "topcoat", "check", "sizes", "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def row_of(size: str, folder: Path) -> str:
    """The line of the table for one size. What is in `folder` already is measured again."""
    shape, place = SHAPES[size], folder / size
    shutil.rmtree(place, ignore_errors=True)
    estimate = checked(place, shape)["estimate"]
    disk = sum(file.stat().st_size for file in (place / "models").rglob("*.safetensors"))
    shutil.rmtree(place)
    cells = (
        f"{shape.model}, {shape.parameters / 1e9:.2f} billion",
        f"{disk / 1e9:.2f} GB",
        f"{estimate['memory'] / 1e9:.2f} GB",
        f"{estimate['seconds'] / 60:.0f} min",
        f"{estimate['disk'] / 1e9:.2f} GB",
    )
    row = f"| {' | '.join(cells)} |"
    print(row, file=sys.stderr, flush=True)
    return row


def page(rows: Sequence[str], sizes: str) -> str:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"""\
# Time and memory by model size

`python -m benchmarks.sizes --sizes {sizes} --write` made this page on a CPU ({machine}). The figures are the
estimate of `topcoat check`, which trains a few of the phase's updates. The models are random, in 4 bits, with layers
and vocabulary of the models that are named. The phase has 80 short examples and the defaults of every key: 300
iterations in 75 updates, 8 layers.

| model | on disk | memory while it trains | training, with other work beside it | disk that a phase takes |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

- **Memory** is the peak of MLX's arrays. On a CPU the adapted layers are dequantized to float32, on a GPU they stay as
  they are stored. The layers below the adapters are loaded one after another, so they hardly count. More adapted
  layers, longer rows and a larger vocabulary take more.
- **Time** differs most between machines. `topcoat check PHASE` measures it on yours, for your data, before anything is
  spent. An evaluation comes on top, before and after.
- **Disk** is for the trunk's states, the adapters, and the fused model, which shares its unchanged files with the base.

[performance.md](performance.md) says what the time is spent on, and has figures for a GPU and for a model of 30 billion
parameters.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SHAPES), help="which sizes, with commas between them")
    parser.add_argument("--work", type=Path, help="where the models are made; they are deleted again")
    parser.add_argument("--write", action="store_true", help="make docs/sizes.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        rows = [row_of(size, Path(folder)) for size in options.sizes.split(",")]
    made = page(rows, options.sizes)
    if options.write:
        PAGE.write_text(made)
    print(made)


if __name__ == "__main__":
    main()
