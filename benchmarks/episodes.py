"""Playing episodes: topcoat's steps in batches beside one `mlx_lm.stream_generate` after another.

    python -m benchmarks.episodes [--episodes 200] [--steps 5] [--sequential 3] [--json FILE]

A random float32 qwen3 of 2 layers 512 wide answers episodes of five steps. A prompt is 650 tokens that all share (tools
and system prompt), a question, and for each earlier step the model's answer and a result. topcoat plays all episodes,
one batch a step; mlx-lm a few, one after another, each step with its whole prompt and no kept cache. Both answers must
be the same. The share is that of seconds an episode.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import training
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent

ENGINE = open_engine(Silent())

from mlx_lm import stream_generate  # noqa: E402  # after the fast BLAS

from topcoat.engine.mlx.model.folder import Loaded, load  # noqa: E402

LAYERS, SHARED, QUESTION, RESULT, ANSWER = 2, 650, 40, 80, 16
Tokens = list[int]


class Episodes:
    """The prompts of episodes as they grow. The results are drawn beforehand, so that both sides get the same."""

    def __init__(self, count: int, steps: int) -> None:
        rng = np.random.default_rng(0)
        self.shared = rng.integers(0, training.VOCABULARY, SHARED).tolist()
        self.first = [self.shared + rng.integers(0, training.VOCABULARY, QUESTION).tolist() for _ in range(count)]
        self.results = rng.integers(0, training.VOCABULARY, (count, steps, RESULT)).tolist()

    def next(self, index: int, step: int, prompt: Tokens, answer: Tokens) -> Tokens:
        return [*prompt, *answer, *self.results[index][step]]


def together(folder: Path, loaded: Loaded, episodes: Episodes, steps: int) -> tuple[list[list[str]], float]:
    """topcoat's answers of every step, and seconds an episode."""
    begin = time.perf_counter()
    prompts, texts = episodes.first, []
    with ENGINE.answering(folder) as answering:
        for step in range(steps):
            job = GenerateJob(folder, prompts, [ANSWER] * len(prompts))
            answers = [answer.text for answer in answering.generate(job, Silent())]
            texts.append(answers)
            tokens = [loaded.tokenizer.encode(answer) for answer in answers]
            prompts = [episodes.next(i, step, prompt, tokens[i]) for i, prompt in enumerate(prompts)]
    return texts, (time.perf_counter() - begin) / len(prompts)


def one_by_one(loaded: Loaded, episodes: Episodes, chosen: list[int], steps: int) -> tuple[list[list[str]], float]:
    """mlx-lm's answers of the chosen episodes, step by step, and seconds an episode."""
    wrapper = loaded.tokenizer.wrapper
    texts: list[list[str]] = [[] for _ in range(steps)]
    begin = time.perf_counter()
    for index in chosen:
        prompt = episodes.first[index]
        for step in range(steps):
            responses = stream_generate(loaded.model, wrapper, prompt, max_tokens=ANSWER)
            tokens = [int(response.token) for response in responses]
            text = loaded.tokenizer.decode([token for token in tokens if token not in wrapper.eos_token_ids])
            texts[step].append(text)
            prompt = episodes.next(index, step, prompt, loaded.tokenizer.encode(text))
    return texts, (time.perf_counter() - begin) / len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--sequential", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "dense"
        training.make_model("dense", folder, LAYERS)
        loaded = load(folder, Compute.DEQUANTIZED)
        episodes = Episodes(given.episodes, given.steps)
        chosen = [int((i + 0.5) / given.sequential * given.episodes) for i in range(given.sequential)]
        theirs, slow = one_by_one(loaded, episodes, chosen, given.steps)
        ours, fast = together(folder, loaded, episodes, given.steps)
        differ = sum(
            ours[step][index] != theirs[step][place]
            for step in range(given.steps)
            for place, index in enumerate(chosen)
        )
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "episodes": given.episodes,
        "steps": given.steps,
        "mlx_lm": slow,
        "topcoat": fast,
        "share": fast / slow,
        "different": differ,
    }
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
