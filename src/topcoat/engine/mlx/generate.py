"""Batched generation, greedy or sampled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import BatchGenerator

from topcoat.engine.base import GenerateJob, Sampling
from topcoat.engine.mlx.sampling import draw
from topcoat.engine.mlx.tokenizer import MlxTokenizer
from topcoat.errors import EngineFault, InvalidInput
from topcoat.progress import Sink, task
from topcoat.records import Completion

__all__ = ["generate"]

BATCH = 32
"""Prompts answered at a time: enough to keep matrix products wide, few enough for a laptop's memory."""


def generate(model: nn.Module, tokenizer: MlxTokenizer, job: GenerateJob, sink: Sink) -> list[Completion]:
    """Answers, one for each prompt, through mlx-lm's continuous batching.

    Prompts are taken longest first, so that a batch pads little; the results are in the order of the prompts.
    """
    empty = [index for index, prompt in enumerate(job.prompts) if not prompt]
    if empty:
        raise InvalidInput(f"prompt {empty[0]} has no tokens")
    order = sorted(range(len(job.prompts)), key=lambda index: (-len(job.prompts[index]), index))
    batch = BatchGenerator(
        model,
        stop_tokens=[[token] for token in sorted(tokenizer.wrapper.eos_token_ids)],
        completion_batch_size=BATCH,
        prefill_batch_size=BATCH,
    )
    tokens: list[list[int]] = [[] for _ in job.prompts]
    finish: dict[int, str] = {}
    try:
        samplers = [_sampler(job.sampling[i]) for i in order] if job.sampling else None
        uids = batch.insert(
            [list(job.prompts[i]) for i in order], [job.max_tokens[i] for i in order], samplers=samplers
        )
        index_of = dict(zip(uids, order, strict=True))
        with task(sink, "answers", total=len(job.prompts), unit="case") as progress:
            while responses := batch.next_generated():
                for response in responses:
                    index = index_of[response.uid]
                    if response.finish_reason != "stop":
                        tokens[index].append(int(response.token))
                    if response.finish_reason is not None:
                        finish[index] = response.finish_reason
                        progress.advance(len(finish))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise EngineFault(f"generation failed: {error}") from error
    finally:
        batch.close()
    return [
        Completion(
            text=tokenizer.decode(tokens[index]),
            tokens=len(tokens[index]),
            finish="stop" if finish.get(index) == "stop" else "length",
        )
        for index in range(len(job.prompts))
    ]


def _sampler(sampling: Sampling) -> Callable[[mx.array], mx.array] | None:
    """What draws the next token of one answer; None for mlx-lm's own greedy choice, which takes a batch at once."""
    if sampling.temperature == 0.0:
        return None
    positions = count()
    return lambda logits: draw(logits, [sampling], next(positions))
