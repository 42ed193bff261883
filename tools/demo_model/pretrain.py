"""Train the base model from scratch with PyTorch: copying first, then the curriculum, then thin coverage.

PyTorch is no dependency of the project: install ``torch`` (2.13 was used), ``numpy``, ``tokenizers`` and
``safetensors`` into an environment of its own. On a CPU with products in bfloat16 it takes half a second for an update
of this model, on one core.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from tools.demo_model.curriculum import broad, thin
from tools.demo_model.dialogues import Example
from tools.demo_model.tokenizer import MARKS, TAGS
from tools.demo_model.weights import CONFIG, FINAL

BATCH = 24
"""Dialogues per update."""
SORTED = 8
"""Batches drawn at once and sorted by length, so that little is padded."""
ADAM_SHARE = 0.15
"""The rate of AdamW, for embeddings and norms, as a share of Muon's for the matrices."""
MOMENTUM = 0.95

Row = tuple[list[int], list[float]]
"""Token ids, and each one's weight in the loss."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training: linear warm-up, a constant rate, and from step ``falls[0]`` on a linear fall that would
    reach zero at step ``falls[1]``.

    Share ``echo`` of the rows are random tokens that stand twice. The first stages leave out the ``system`` prompt, a
    fifth of all tokens.
    """

    examples: Callable[[random.Random], Iterator[Example]]
    steps: int
    seed: int
    warmup: int = 20
    falls: tuple[int, int] | None = None
    rate: float = 0.02
    echo: float = 0.0
    easy: bool = False
    system: bool = False

    def rate_at(self, step: int) -> float:
        """The rate of Muon at a step in ``[1, steps]``."""
        first, last = self.falls or (self.steps, self.steps + 1)
        return self.rate * min(1.0, step / self.warmup, (last - step + 1) / (last - first))


STAGES = {
    "copying": Stage(broad, 750, seed=11, warmup=50, echo=0.4, easy=True),
    "broad": Stage(broad, 1000, seed=12, echo=0.15, easy=True),
    "names": Stage(broad, 500, seed=14, echo=0.3),
    "thin": Stage(thin, 1500, seed=13, falls=(500, 1700), echo=0.08, system=True),
}
"""One after the other: copying, what the model knows well, then that with a little of two more categories."""
AVERAGED = (1250, 1500)
"""The steps of the last stage whose weights are averaged: each of them alone copies a few rare tokens wrongly."""


def encode(tokenizer: Tokenizer, example: Example, *, system: bool = True) -> Row:
    """A dialogue's token ids and, for each, whether it is one of the assistant's (its closing mark included)."""
    ids: list[int] = []
    weights: list[float] = []
    for message in example["messages"][0 if system else 1 :]:
        head = tokenizer.encode(f"<|im_start|>{message['role']}\n").ids
        body = tokenizer.encode(f"{message['content']}<|im_end|>").ids
        tail = tokenizer.encode("\n").ids
        own = 1.0 if message["role"] == "assistant" else 0.0
        ids += head + body + tail
        weights += [0.0] * len(head) + [own] * len(body) + [0.0] * len(tail)
    return ids, weights


def echoes(tokens: Sequence[int], easy: bool, rng: random.Random) -> Iterator[Row]:
    """Endless rows of 6 to 24 random tokens that stand twice, with others between.

    Easy rows take most tokens from the first few of ``tokens``; others from few tokens of their own, so that a token
    is followed by this and by that.
    """
    while True:
        if easy:
            pool = tokens[: rng.choice((64, 64, 256, 1024, len(tokens)))]
        else:
            pool = rng.sample(tokens, rng.choice((8, 16, 40, len(tokens))))
        said = rng.choices(pool, k=rng.randint(6, 24))
        between = rng.choices(pool, k=rng.randint(0, 12))
        yield said + between + said, [0.0] * (len(said) + len(between) + 1) + [1.0] * (len(said) - 1)


def batches(tokenizer: Tokenizer, stage: Stage, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (ids, weights), both [BATCH, length], padded with token 0."""
    examples = stage.examples(rng)
    tokens = list(range(len(MARKS), tokenizer.get_vocab_size() - len(TAGS)))
    random.Random(0).shuffle(tokens)
    echo = echoes(tokens, stage.easy, rng)
    while True:
        drawn = (
            next(echo) if rng.random() < stage.echo else encode(tokenizer, next(examples), system=stage.system)
            for _ in iter(int, 1)
        )
        rows = sorted(islice(drawn, BATCH * SORTED), key=lambda row: len(row[0]))
        groups = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        rng.shuffle(groups)
        for group in groups:
            length = max(len(ids) for ids, _ in group)
            ids = np.zeros((BATCH, length), np.int64)
            weights = np.zeros((BATCH, length), np.float32)
            for row, (tokens, own) in enumerate(group):
                ids[row, : len(tokens)] = tokens
                weights[row, : len(own)] = own
            yield torch.from_numpy(ids), torch.from_numpy(weights)


class Model:
    """Qwen3 as its config says, float32 weights by their names in transformers, products in bfloat16."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = {name: weight.requires_grad_() for name, weight in weights.items()}
        self._heads, self._pairs, self._width = 6, 3, 32
        inverse = 10000.0 ** (-torch.arange(0, self._width, 2).float() / self._width)
        turns = torch.outer(torch.arange(2048).float(), inverse)
        self._cosine, self._sine = (
            torch.cat([part, part], 1).to(torch.bfloat16) for part in (turns.cos(), turns.sin())
        )

    @classmethod
    def new(cls, seed: int) -> "Model":
        """An untrained model; what writes into the residual stream starts small."""
        made = torch.Generator().manual_seed(seed)
        width, inner, heads = CONFIG["hidden_size"], CONFIG["intermediate_size"], 6 * 32
        weights = {"model.embed_tokens.weight": torch.randn(CONFIG["vocab_size"], width, generator=made) * 0.05}
        shapes = {"q": (heads, width), "k": (heads // 2, width), "v": (heads // 2, width), "o": (width, heads)}
        inner_shapes = {"gate": (inner, width), "up": (inner, width), "down": (width, inner)}
        for layer in range(CONFIG["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            for group, parts in (("self_attn", shapes), ("mlp", inner_shapes)):
                for name, (rows, columns) in parts.items():
                    scale = (0.25 if name in ("o", "down") else 1.0) / columns**0.5
                    weights[f"{at}.{group}.{name}_proj.weight"] = torch.randn(rows, columns, generator=made) * scale
            for name in ("input_layernorm", "post_attention_layernorm"):
                weights[f"{at}.{name}.weight"] = torch.ones(width)
            for name in ("q_norm", "k_norm"):
                weights[f"{at}.self_attn.{name}.weight"] = torch.ones(32)
        weights["model.norm.weight"] = torch.ones(width)
        return cls(weights)

    def loss(self, ids: Tensor, weights: Tensor) -> Tensor:
        """Mean cross-entropy in nats over the weighted tokens."""
        half = {name: weight.to(torch.bfloat16) for name, weight in self.weights.items()}
        table = half["model.embed_tokens.weight"]
        hidden = functional.embedding(ids[:, :-1], table)
        mask = torch.full((hidden.shape[1],) * 2, -1e9).triu(1).to(torch.bfloat16)
        for layer in range(CONFIG["num_hidden_layers"]):
            hidden = self._layer(
                hidden,
                mask,
                {
                    name.removeprefix(f"model.layers.{layer}."): weight
                    for name, weight in half.items()
                    if name.startswith(f"model.layers.{layer}.")
                },
            )
        asked = weights[:, 1:].reshape(-1).nonzero()[:, 0]
        last = _norm(hidden.reshape(-1, hidden.shape[2])[asked], half["model.norm.weight"])
        return functional.cross_entropy((last @ table.T).float(), ids[:, 1:].reshape(-1)[asked])

    def _layer(self, hidden: Tensor, mask: Tensor, own: dict[str, Tensor]) -> Tensor:
        rows, length, _ = hidden.shape
        normed = _norm(hidden, own["input_layernorm.weight"])
        parts = {}
        for name, heads in (("q", self._heads), ("k", self._pairs), ("v", self._pairs)):
            part = (normed @ own[f"self_attn.{name}_proj.weight"].T).view(rows, length, heads, self._width)
            if name != "v":
                part = self._turn(_norm(part, own[f"self_attn.{name}_norm.weight"]))
            if name != "q":
                part = part.repeat_interleave(self._heads // heads, 2)
            parts[name] = part.transpose(1, 2)
        scores = (parts["q"] @ parts["k"].transpose(2, 3)) * self._width**-0.5 + mask
        seen = (scores.softmax(-1) @ parts["v"]).transpose(1, 2).reshape(rows, length, -1)
        hidden = hidden + seen @ own["self_attn.o_proj.weight"].T
        normed = _norm(hidden, own["post_attention_layernorm.weight"])
        gate = functional.silu(normed @ own["mlp.gate_proj.weight"].T)
        return hidden + (gate * (normed @ own["mlp.up_proj.weight"].T)) @ own["mlp.down_proj.weight"].T

    def _turn(self, part: Tensor) -> Tensor:
        """Rotary positions, halves of a head as pairs."""
        length = part.shape[1]
        first, second = part.chunk(2, -1)
        turned = torch.cat([-second, first], -1)
        return part * self._cosine[:length, None] + turned * self._sine[:length, None]


def _norm(values: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(values, (values.shape[-1],), weight, 1e-6)


class Optimizer:
    """Muon (Jordan et al. 2024) for the matrices, AdamW for the rest. Muon learns to copy in half the steps."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        groups: dict[tuple[int, ...], list[Tensor]] = {}
        others = []
        for name, weight in weights.items():
            if weight.ndim == 2 and "embed" not in name:
                groups.setdefault(tuple(weight.shape), []).append(weight)
            else:
                others.append(weight)
        self._groups: list[tuple[list[Tensor], Tensor]] = [
            (group, torch.zeros(len(group), *shape)) for shape, group in groups.items()
        ]
        self._others = torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0)
        self._weights = list(weights.values())

    def step(self, rate: float) -> None:
        """Update every weight from its gradient, clipped to norm 1 over all of them."""
        with torch.no_grad():
            self._step(rate)

    def _step(self, rate: float) -> None:
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        for group, moving in self._groups:
            gradient = torch.stack([weight.grad for weight in group if weight.grad is not None])
            moving.lerp_(gradient, 1 - MOMENTUM)
            update = _orthogonal(gradient.lerp(moving, MOMENTUM))
            scale = rate * max(1.0, update.shape[1] / update.shape[2]) ** 0.5
            for weight, own in zip(group, update.float(), strict=True):
                weight.sub_(own, alpha=scale)
        for other in self._others.param_groups:
            other["lr"] = rate * ADAM_SHARE
        self._others.step()
        for weight in self._weights:
            weight.grad = None


def _orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about one, by five steps of Newton and Schulz."""
    tall = matrices.shape[1] > matrices.shape[2]
    made = matrices.transpose(1, 2) if tall else matrices
    made = (made / (made.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(torch.bfloat16)
    for _ in range(5):
        square = made @ made.transpose(1, 2)
        made = 3.4445 * made + (-4.775 * square + 2.0315 * square @ square) @ made
    return made.transpose(1, 2) if tall else made


def fit(model: Model, rows: Iterator[tuple[Tensor, Tensor]], stage: Stage, keep: Callable[[int], Path]) -> None:
    """Train for one stage; every 250 steps, and at last, the weights are written to the path that ``keep`` gives."""
    optimizer = Optimizer(model.weights)
    started = time.perf_counter()
    seen = 0.0
    for step in range(1, stage.steps + 1):
        loss = model.loss(*next(rows))
        loss.backward()
        optimizer.step(stage.rate_at(step))
        seen += loss.item()
        if step % 25 == 0:
            print(f"step {step}: loss {seen / 25:.4f}, {time.perf_counter() - started:.0f} s", file=sys.stderr)
            seen = 0.0
        if step % 250 == 0 or step == stage.steps:
            save_file({name: weight.detach() for name, weight in model.weights.items()}, keep(step))


def average(files: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of several weights."""
    parts = [load_file(file) for file in files]
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


def train(tokenizer_file: Path, work: Path) -> None:
    """Run all stages in turn. Every stage leaves its weights in ``work``, and ``FINAL`` is their end.

    Another machine's kernels round otherwise: a new run gives other weights, and its scores have to be measured.
    """
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    model = Model.new(0)
    for name, stage in STAGES.items():
        print(name, file=sys.stderr)
        rows = batches(tokenizer, stage, random.Random(stage.seed))
        fit(model, rows, stage, partial(_file, work, name))
    save_file(average([_file(work, name, step) for step in AVERAGED]), work / FINAL)


def _file(work: Path, stage: str, step: int) -> Path:
    return work / f"{stage}-{step}.safetensors"
