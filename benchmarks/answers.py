"""Answering a suite: topcoat's batches over one shared prefix beside one `mlx_lm.stream_generate` after another.

    python -m benchmarks.answers [--rounds 3] [--json FILE]

Two models: a random float32 qwen3 of 12 layers 512 wide with 64 cases that share 650 tokens, have 20 to 150 of their
own and 40 to 80 tokens of answer; and the embedded model with the cases of its suite. Both sides run in one process
with one BLAS, in turns; topcoat answers every case, mlx-lm a few, spread over the lengths, whose answers must be the
same. The ratio is that of the medians of seconds a case.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import training
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.spec.project import load_settings
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.loading import load_catalog

ENGINE = open_engine(Silent())

from mlx_lm import stream_generate  # noqa: E402  # after the fast BLAS

from topcoat.engine.mlx.generate.generate import generate  # noqa: E402
from topcoat.engine.mlx.model.folder import Loaded, load  # noqa: E402

LAYERS, CASES, SHARED, SEQUENTIAL = 12, 64, 650, 5
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """Prompts with the number of tokens that each answer may have."""

    name: str
    folder: Path
    prompts: list[list[int]]
    limits: list[int]


def random_job(scratch: Path) -> Job:
    """A random model, and cases whose prompts share most of their tokens."""
    folder = scratch / "dense"
    training.make_model("dense", folder, LAYERS)
    rng = np.random.default_rng(0)
    shared = rng.integers(0, training.VOCABULARY, SHARED).tolist()
    own = [rng.integers(0, training.VOCABULARY, int(rng.integers(20, 151))).tolist() for _ in range(CASES)]
    limits = [int(limit) for limit in rng.integers(40, 81, CASES)]
    return Job(f"qwen3, {LAYERS} layers 512 wide", folder, [shared + row for row in own], limits)


def embedded_job() -> Job:
    """The embedded model and its suite, as `topcoat eval` asks it."""
    project = load_settings(TEMPLATE)
    folder = TEMPLATE / "models" / "phase33b"
    tokenizer = ENGINE.tokenizer(folder)
    cases = load_suite(project.suite, Agent(load_catalog(project.catalog))).cases
    dialogues = [case.dialogue(project.system_prompt) for case in cases]
    prompts = [tokenizer.chat(dialogue, add_generation_prompt=True) for dialogue in dialogues]
    return Job("embedded", folder, prompts, [case.max_tokens for case in cases])


def together(job: Job, loaded: Loaded) -> tuple[list[str], float]:
    """topcoat's answers to all cases, and seconds a case."""
    begin = time.perf_counter()
    answers = generate(loaded.model, loaded.tokenizer, GenerateJob(job.folder, job.prompts, job.limits), Silent())
    return [answer.text for answer in answers], (time.perf_counter() - begin) / len(answers)


def one_by_one(job: Job, loaded: Loaded, chosen: list[int]) -> tuple[list[str], float]:
    """mlx-lm's answers to the chosen cases, and seconds a case."""
    wrapper = loaded.tokenizer.wrapper
    texts = []
    begin = time.perf_counter()
    for index in chosen:
        responses = stream_generate(loaded.model, wrapper, job.prompts[index], max_tokens=job.limits[index])
        tokens = [int(response.token) for response in responses]
        texts.append(loaded.tokenizer.decode([token for token in tokens if token not in wrapper.eos_token_ids]))
    return texts, (time.perf_counter() - begin) / len(chosen)


def compare(job: Job, rounds: int) -> Result:
    """Both sides in turns; raises SystemExit where their answers differ."""
    loaded = load(job.folder, Compute.DEQUANTIZED)
    by_length = sorted(range(len(job.prompts)), key=lambda index: len(job.prompts[index]) + job.limits[index])
    ours, theirs = [], []
    for number in range(rounds):
        # Every round other cases, from the shortest to the longest.
        chosen = [
            by_length[int((i + (number + 0.5) / rounds) / SEQUENTIAL * len(by_length))] for i in range(SEQUENTIAL)
        ]
        texts, seconds = together(job, loaded)
        ours.append(seconds)
        expected, seconds = one_by_one(job, loaded, chosen)
        theirs.append(seconds)
        if [texts[index] for index in chosen] != expected:
            raise SystemExit(f"{job.name}: answers differ from mlx-lm's")
    return {
        "cases": len(job.prompts),
        "mlx_lm": statistics.median(theirs),
        "topcoat": statistics.median(ours),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "same_answers": rounds * SEQUENTIAL,
        "rounds": {"mlx_lm": theirs, "topcoat": ours},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: Result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}", "models": {}}
    print(report["machine"])
    with tempfile.TemporaryDirectory() as scratch:
        for job in (random_job(Path(scratch)), embedded_job()):
            result = report["models"][job.name] = compare(job, options.rounds)
            print(
                f"{job.name}: a case takes mlx-lm {result['mlx_lm']:.3f} s, topcoat {result['topcoat']:.3f} s: "
                f"{result['ratio']:.1f} times; {result['same_answers']} answers compared, all equal",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
