"""What needs MLX, in a process of its own.

python -m benchmarks.real.runs.measuring general MODEL ROOT        texts and questions, as JSON
python -m benchmarks.real.runs.measuring survival ROOT FUSED ADAPTER ...
python -m benchmarks.real.runs.measuring mlx_lm COMMAND ...        mlx-lm's own command, with the fast BLAS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from benchmarks.real.runs.questions import QUESTIONS
from topcoat.engine.mlx import open_engine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent

TEXTS = 24
TOKENS = 192
"""So many topics of Python's reference manual (`pydoc_data.topics`), and tokens of each."""
ANSWER = 24
"""The most tokens of an answer to a question."""


def texts() -> list[str]:
    """The topics' texts, in an order that a hash decides, without their markup's headings."""
    names = sorted(topics, key=lambda name: sha256(name.encode()).digest())
    return [text for name in names if len(text := str(topics[name]).split("\n", 3)[-1].strip()) > 5 * TOKENS]


def general(folder: Path, root: Path) -> dict[str, Any]:
    """Of the texts, nats a token and KL(root || model); of the questions, how many are answered rightly."""
    engine = open_engine(Silent())
    import mlx.core as mx

    from topcoat.engine.mlx.compute import Compute
    from topcoat.engine.mlx.cpu.quicken import quick
    from topcoat.engine.mlx.model.folder import load
    from topcoat.engine.mlx.numbers import scalar

    tokenizer = engine.tokenizer(folder)
    rows = [ids[:TOKENS] for text in texts() if len(ids := tokenizer.encode(text)) >= TOKENS][:TEXTS]
    nats = divergence = 0.0
    with quick():
        model, bare = (load(one, Compute.DEQUANTIZED).model for one in (folder, root))
        for row in rows:
            given, after = mx.array([row[:-1]]), mx.array(row[1:])[:, None]
            logits, of_root = (one(given)[0].astype(mx.float32) for one in (model, bare))
            log_p, log_root = (one - mx.logsumexp(one, axis=-1, keepdims=True) for one in (logits, of_root))
            nats -= scalar(mx.take_along_axis(log_p, after, axis=-1).sum())
            divergence += scalar((mx.exp(log_root) * (log_root - log_p)).sum())
    tokens = len(rows) * (TOKENS - 1)
    prompts = [tokenizer.chat([{"role": "user", "content": one.text}], add_generation_prompt=True) for one in QUESTIONS]
    answers = engine.generate(GenerateJob(folder, prompts, [ANSWER] * len(prompts)), Silent())
    right = [one.is_right(answer.text) for one, answer in zip(QUESTIONS, answers, strict=True)]
    return {
        "texts": len(rows),
        "tokens": tokens,
        "nats": nats / tokens,
        "kl_from_root": divergence / tokens,
        "questions": len(QUESTIONS),
        "right": sum(right),
        "wrong": [one.text for one, well in zip(QUESTIONS, right, strict=True) if not well],
        "answers": [answer.text for answer in answers],
        "python": sys.version.split()[0],
    }


def survival(root: Path, fused: Path, adapters: Sequence[Path]) -> dict[str, Any]:
    """The share of the sum of the adapters' deltas that `fused` has more than the root, and its bits per weight."""
    from benchmarks import layering
    from topcoat.engine.mlx.fuse.fused_folder import weight_sizes

    meant: dict[str, Any] = {}
    for adapter in adapters:
        for name, delta in layering.deltas_of(adapter).items():
            meant[name] = meant.get(name, 0.0) + delta
    kept = layering.survival(layering.weights_of(root), layering.weights_of(fused), meant)
    size, bits = weight_sizes(fused)
    return {"survival": kept, "size": size, "bits": bits}


def mlx_lm(*arguments: str) -> None:
    """Its command, as it is, but for what is slow in MLX on a CPU. Results are the same to rounding."""
    open_engine(Silent())
    from mlx_lm import cli

    from topcoat.engine.mlx.cpu.quicken import quick

    sys.argv = ["mlx_lm", *arguments]
    with quick():
        cli.main()


def main() -> None:
    what, *given = sys.argv[1:]
    if what == "general":
        print(json.dumps(general(Path(given[0]), Path(given[1]))))
    elif what == "survival":
        print(json.dumps(survival(Path(given[0]), Path(given[1]), [Path(one) for one in given[2:]])))
    elif what == "mlx_lm":
        mlx_lm(*given)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
