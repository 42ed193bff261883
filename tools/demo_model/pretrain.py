"""Train the base model from scratch: a foundation, then thin coverage of two more categories, then 5-bit weights."""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tools.demo_model.curriculum import broad, less_thin, thin, words_of_the_domain
from tools.demo_model.dialogues import Example
from tools.demo_model.tokenizer import VOCABULARY
from topcoat.engine.mlx.cpu.blas import load_fast_blas

load_fast_blas()
import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
from mlx.utils import tree_flatten, tree_map  # noqa: E402
from mlx_lm.models.qwen3 import Model, ModelArgs  # noqa: E402

CONFIG: dict[str, object] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 192,
    "num_hidden_layers": 8,
    "intermediate_size": 512,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 2048,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}
BATCH = 24
"""Dialogues per update, shared among the processes of ``mlx.launch``: MLX uses one CPU core for most of its work."""
SORTED = 8
"""Batches drawn at once and sorted by length, so that little is padded."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training: linear warm-up, then a constant rate, or one that falls to zero at the last step."""

    examples: Callable[[random.Random], Iterator[Example]]
    steps: int
    seed: int
    warmup: int
    falls: bool
    rate: float = 0.02


STAGES = {
    "broad": Stage(broad, 1000, seed=11, warmup=50, falls=False),
    "thin": Stage(thin, 600, seed=12, warmup=10, falls=True),
    "less thin": Stage(less_thin, 150, seed=13, warmup=10, falls=True, rate=0.006),
    "words": Stage(words_of_the_domain, 100, seed=15, warmup=10, falls=True, rate=0.006),
    "more words": Stage(words_of_the_domain, 150, seed=16, warmup=10, falls=True, rate=0.008),
    "last words": Stage(words_of_the_domain, 120, seed=17, warmup=10, falls=True, rate=0.008),
}
"""One after the other: what the model knows well, then that with a little of two more categories."""
ADAM_SHARE = 0.15
"""The rate of AdamW, for embeddings and norms, as a share of Muon's for the matrices."""


def encode(tokenizer: Tokenizer, example: Example) -> tuple[list[int], list[float]]:
    """A dialogue's token ids and, for each, whether it is one of the assistant's (its closing mark included)."""
    ids: list[int] = []
    weights: list[float] = []
    for message in example["messages"]:
        head = tokenizer.encode(f"<|im_start|>{message['role']}\n").ids
        body = tokenizer.encode(f"{message['content']}<|im_end|>").ids
        tail = tokenizer.encode("\n").ids
        own = 1.0 if message["role"] == "assistant" else 0.0
        ids += head + body + tail
        weights += [0.0] * len(head) + [own] * len(body) + [0.0] * len(tail)
    return ids, weights


def batches(
    tokenizer: Tokenizer, examples: Iterator[Example], rng: random.Random
) -> Iterator[tuple[mx.array, mx.array]]:
    """Endless (ids, weights), both [BATCH, length], padded with token 0."""
    while True:
        rows = sorted((encode(tokenizer, one) for one in islice(examples, BATCH * SORTED)), key=lambda row: len(row[0]))
        groups = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        rng.shuffle(groups)
        for group in groups:
            length = max(len(ids) for ids, _ in group)
            ids = np.zeros((BATCH, length), np.int32)
            weights = np.zeros((BATCH, length), np.float32)
            for row, (tokens, own) in enumerate(group):
                ids[row, : len(tokens)] = tokens
                weights[row, : len(own)] = own
            yield mx.array(ids), mx.array(weights)


def new_model(seed: int) -> Model:
    """An untrained model; what writes into the residual stream starts small."""
    mx.random.seed(seed)
    model = Model(ModelArgs.from_dict(CONFIG))
    model.update(tree_map(lambda weight: weight.astype(mx.float32), model.parameters()))
    for layer in model.layers:
        for module in (layer.self_attn.o_proj, layer.mlp.down_proj):
            module.weight = module.weight * 0.25
    return model


def loss_of(model: Model, ids: mx.array, weights: mx.array) -> mx.array:
    """Summed cross-entropy in nats over the weighted tokens."""
    losses = nn.losses.cross_entropy(model(ids[:, :-1]), ids[:, 1:])
    return (losses * weights[:, 1:]).sum()


def _shared_mean(part: mx.array, tokens: mx.array) -> mx.array:
    """The sum over all processes, per token."""
    return mx.distributed.all_sum(part, stream=mx.cpu) / tokens


def _schedule(stage: Stage, rate: float) -> Callable[[mx.array], mx.array]:
    end = 0.0 if stage.falls else rate
    parts = [
        optim.linear_schedule(0.0, rate, stage.warmup),
        optim.linear_schedule(rate, end, stage.steps - stage.warmup),
    ]
    joined: Callable[[mx.array], mx.array] = optim.join_schedules(parts, [stage.warmup])
    return joined


def _is_matrix(name: str, weight: mx.array) -> bool:
    return weight.ndim == 2 and "embed" not in name


def fit(model: Model, rows: Iterator[tuple[mx.array, mx.array]], stage: Stage, keep: Path) -> None:
    """Train the matrices with Muon and the rest with AdamW; the weights are kept at ``keep`` every 100 steps.

    Muon (Jordan et al. 2024, as in mlx) learns to copy unseen names in about half the steps that AdamW takes.
    """
    optimizer = optim.MultiOptimizer(
        [
            optim.Muon(_schedule(stage, stage.rate), weight_decay=0.0),
            optim.AdamW(
                _schedule(stage, stage.rate * ADAM_SHARE), betas=[0.9, 0.95], weight_decay=0.0, bias_correction=True
            ),
        ],
        [_is_matrix],
    )
    gradient_of = nn.value_and_grad(model, loss_of)
    group = mx.distributed.init()
    started = time.perf_counter()
    seen = 0.0
    for step in range(1, stage.steps + 1):
        ids, weights = next(rows)
        own = slice(group.rank(), None, group.size())
        loss, gradient = gradient_of(model, ids[own], weights[own])
        tokens = weights[:, 1:].sum()
        gradient = tree_map(partial(_shared_mean, tokens=tokens), gradient)
        gradient, _ = optim.clip_grad_norm(gradient, 1.0)
        optimizer.update(model, gradient)
        loss = _shared_mean(loss, tokens=tokens)
        mx.eval(model.state, optimizer.state, loss)
        seen += float(loss)
        if step % 25 == 0 and group.rank() == 0:
            print(
                f"step {step}: loss {seen / 25:.4f}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True
            )
            seen = 0.0
        if group.rank() == 0 and (step % 100 == 0 or step == stage.steps):
            mx.save_safetensors(str(keep), dict(tree_flatten(model.parameters())))


def quantize(model: Model, folder: Path, *, bits: int = 5, group: int = 64) -> None:
    """Write the model's config and quantized weights where mlx-lm loads them."""
    nn.quantize(model, group_size=group, bits=bits)
    mx.eval(model.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(
        str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"}
    )
    kinds = {"group_size": group, "bits": bits, "mode": "affine"}
    config = CONFIG | {"eos_token_id": 2, "torch_dtype": "float32", "quantization": kinds, "quantization_config": kinds}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    generation = {"eos_token_id": 2, "pad_token_id": 0, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


def make_base(folder: Path, work: Path) -> None:
    """Train with the tokenizer in ``folder`` and write the model there; unquantized weights are kept in ``work``.

    Another machine's kernels round otherwise: a new run gives other bytes, and its scores have to be measured.
    """
    mx.disable_compile()
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = new_model(0)
    for name, stage in STAGES.items():
        _run(model, tokenizer, stage, work / f"{name}.safetensors")
    if mx.distributed.init().rank() == 0:
        quantize(model, folder)


def _run(model: Model, tokenizer: Tokenizer, stage: Stage, keep: Path) -> None:
    rng = random.Random(stage.seed)
    fit(model, batches(tokenizer, stage.examples(rng), rng), stage, keep)
