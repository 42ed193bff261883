"""Answers verified beside answers generated, where nine of ten are the base's.

    python -m benchmarks.verifying [--cases 2000] [--parts 10] [--model FOLDER] [--max-tokens 128] [--layers 4]

The cases are those of the embedded project's suite, with names from other seeds. Its system prompt and the model's own
chat template make the prompts. The changed model is the base with a random adapter on its last `--layers` layers, fused
without rounding. The adapter's size is searched until about a tenth of the answers are others. `--model` takes another
model than the embedded one.

For each part of the cases, in turns: the changed model generates all answers; it verifies the base's answers; it does
so beside the base, whose states are computed and kept; and again, as a phase's next attempt does, with kept states.
Ratios are to generation, as the median of the parts. CPU time is less disturbed by other work than wall time. Every
verified answer is compared with the generated one, and a difference is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.engine.protocol import FuseJob, GenerateJob, Verified, VerifyJob
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec
from topcoat.spec.project import load_settings
from topcoat.store.records import Completion

ENGINE = open_engine(Silent())

import mlx.core as mx  # noqa: E402  # after the fast BLAS

from tools.demo_model.suite import suite  # noqa: E402
from topcoat.engine.mlx.model.folder import load  # noqa: E402
from topcoat.engine.mlx.model.lora import adapter_config, adapter_weights, attach  # noqa: E402

Result = dict[str, Any]
Done = TypeVar("Done")
SEARCHED, SEARCH_STEPS = 64, 6
CHANGED = 0.1
"""The share of answers that the adapter should change."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Prompts with the number of tokens that each answer may have."""

    prompts: list[list[int]]
    limits: list[int]

    def part(self, number: int, parts: int) -> Cases:
        return Cases(self.prompts[number::parts], self.limits[number::parts])


def cases(model: Path, count: int, limit: int) -> Cases:
    """`count` different prompts of the suite's templates, with names from other seeds than the suite's."""
    settings = load_settings(TEMPLATE)
    tokenizer = ENGINE.tokenizer(model)
    asked: dict[str, list[int]] = {}
    seed = 1000
    while len(asked) < count:
        for case in suite(random.Random(seed)):
            dialogue = [{"role": "user", "content": str(case["prompt"])}]
            if settings.system_prompt:
                dialogue.insert(0, {"role": "system", "content": settings.system_prompt})
            asked[str(case["prompt"])] = tokenizer.chat(dialogue, add_generation_prompt=True)
        seed += 1
    prompts = random.Random(0).sample([*asked.values()], count)
    return Cases(prompts, [limit] * count)


def changed(model: Path, folder: Path, layers: int, size: float) -> Path:
    """The model with a random adapter on its last layers, fused; every lora_b is `size` times noise."""
    shutil.rmtree(folder, ignore_errors=True)
    spec = TrainSpec(num_layers=layers, lora=LoraSpec(rank=8, scale=1.0))
    loaded = load(model, ENGINE.compute, lazy=True)
    mx.random.seed(0)
    attach(loaded.model, spec)
    weights = {
        name: mx.random.normal(value.shape) * size if name.endswith("lora_b") else value
        for name, value in adapter_weights(loaded.model).items()
    }
    adapter = folder / "adapter"
    adapter.mkdir(parents=True)
    mx.save_safetensors(str(adapter / "adapters.safetensors"), weights)
    (adapter / "adapter_config.json").write_text(json.dumps(adapter_config(spec, len(loaded.model.layers))))
    fuse = FuseSpec(bits="none", min_survival=0.0, max_kl=1e9)
    ENGINE.fuse(FuseJob(model, model, [adapter], fuse, [], folder / "model"), Silent())
    return folder / "model"


def searched(model: Path, scratch: Path, layers: int, some: Cases) -> Path:
    """The changed model whose answers differ from the base's in about `CHANGED` of the cases."""
    before = ENGINE.generate(GenerateJob(model, some.prompts, some.limits), Silent())
    low, high = 0.0, 2.0
    for _ in range(SEARCH_STEPS):
        size = (low + high) / 2
        folder = changed(model, scratch / "changed", layers, size)
        found = ENGINE.verify(VerifyJob(folder, some.prompts, some.limits, before), Silent())
        share = statistics.mean(one.differs is not None for one in found)
        print(f"  adapter of size {size:.4f}: {share:.1%} of {len(found)} answers are others", flush=True)
        if abs(share - CHANGED) <= 0.5 / len(found) + 0.02:
            break
        low, high = (size, high) if share < CHANGED else (low, size)
    return folder


def timed(work: Callable[[], Done]) -> tuple[Done, float, float]:
    """What the work gives, its CPU seconds and its wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    done = work()
    return done, time.process_time() - cpu, time.perf_counter() - wall


def measure(model: Path, other: Path, part: Cases, cache: Path) -> Result:
    """CPU and wall seconds of each side on one part, and how the answers compare."""
    references = ENGINE.generate(GenerateJob(model, part.prompts, part.limits), Silent())
    alone = VerifyJob(other, part.prompts, part.limits, references)
    beside = VerifyJob(other, part.prompts, part.limits, references, base=model, cache=cache)
    generated, *of_generation = timed(lambda: ENGINE.generate(GenerateJob(other, part.prompts, part.limits), Silent()))
    sides: dict[str, Sequence[Verified]] = {}
    seconds = {"generated": of_generation}
    for side, job in (("verified", alone), ("beside its base", beside), ("again beside its base", beside)):
        sides[side], *seconds[side] = timed(partial(ENGINE.verify, job, Silent()))
    same = sum(one == answer for one, answer in zip(references, generated, strict=True))
    tokens = sum(answer.tokens for answer in generated)
    differing = {side: compare(found, generated) for side, found in sides.items()}
    return {"cases": len(generated), "same": same, "tokens": tokens, "seconds": seconds, "other_answers": differing}


def compare(found: Sequence[Verified], generated: Sequence[Completion]) -> list[str]:
    """Each verified answer that isn't the generated one."""
    pairs = zip(found, generated, strict=True)
    return [f"{one.completion.text!r} for {answer.text!r}" for one, answer in pairs if one.completion != answer]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--model", type=Path, default=TEMPLATE / "models" / "phase33b")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}; {ENGINE.name}"
    print(machine, flush=True)
    report: Result = {"machine": machine, "model": options.model.name, "parts": []}
    asked = cases(options.model, options.cases, options.max_tokens)
    with tempfile.TemporaryDirectory() as scratch:
        some = asked.part(0, max(1, options.cases // SEARCHED))
        other = searched(options.model, Path(scratch), options.layers, some)
        for number in range(options.parts):
            result = measure(options.model, other, asked.part(number, options.parts), Path(scratch) / "cache")
            report["parts"].append(result)
            generated = result["seconds"]["generated"]
            ratios = {side: cpu / generated[0] for side, (cpu, _) in result["seconds"].items()}
            said = ", ".join(f"{side} {ratio:.2f}" for side, ratio in ratios.items())
            others = {side: len(found) for side, found in result["other_answers"].items()}
            print(f"part {number + 1}: {result['same'] / result['cases']:.1%} same; {said}; other answers {others}")
            print(f"  CPU and wall seconds {result['seconds']}", flush=True)
    summary(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def summary(report: Result) -> None:
    parts = report["parts"]
    count = sum(part["cases"] for part in parts)
    tokens = sum(part["tokens"] for part in parts)
    same = sum(part["same"] for part in parts) / count
    print(f"{count} cases of {tokens / count:.0f} tokens; {same:.1%} of the answers stay the same")
    for side in list(parts[0]["seconds"])[1:]:
        cpu, wall = (
            statistics.median(part["seconds"][side][kind] / part["seconds"]["generated"][kind] for part in parts)
            for kind in (0, 1)
        )
        others = [text for part in parts for text in part["other_answers"][side]]
        print(f"{side}: {cpu:.2f} of generation's CPU time ({wall:.2f} of its wall time); {len(others)} other answers")
        for text in others:
            print(f"  {text}")


if __name__ == "__main__":
    main()
