"""Batched generation, greedy or sampled. The common beginning of all prompts is computed once."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import KVCache, make_prompt_cache

from topcoat.engine.mlx.generate.sampling import draw
from topcoat.engine.mlx.generate.shared_keys import OwnKeys, shared_attention
from topcoat.engine.mlx.model.scalar import scalar
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.protocol import GenerateJob, Sampling
from topcoat.errors import EngineFault, InvalidInput
from topcoat.progress import Note, Sink, task
from topcoat.store.records import Completion

__all__ = ["generate"]

BATCH = 64
"""The most prompts in a batch: enough to keep matrix products wide."""
KEPT = 32768
"""The most prompt tokens in a batch. With 48 layers of 4 heads 128 wide in 16 bits, their keys take 3.2 GB."""
PREFILL = 512
"""The most prompt tokens in one forward pass. With more, the attention's scores don't fit a CPU's caches."""
TOLERANCE = {mx.float32: 1e-4, mx.float16: 2e-2, mx.bfloat16: 5e-2}
"""The largest accepted difference of attention in two parts, relative to the largest logit."""

Prompt = Sequence[int]
Caches = list[Any]
"""One of mlx-lm's caches for each layer."""


@dataclass(slots=True)
class Answer:
    """One prompt's answer as it grows."""

    limit: int
    sampling: Sampling
    tokens: list[int] = field(default_factory=list)
    finish: str = ""

    def take(self, token: int, stop: frozenset[int]) -> None:
        """Add a token, unless it ends the answer."""
        if token in stop:
            self.finish = "stop"
            return
        self.tokens.append(token)
        if len(self.tokens) >= self.limit:
            self.finish = "length"


def generate(model: nn.Module, tokenizer: MlxTokenizer, job: GenerateJob, sink: Sink) -> list[Completion]:
    """Answers, one for each prompt, in the order of the prompts.

    Batches begin with the longest prompts, so that they pad little. Raises InvalidInput for a prompt without tokens,
    EngineFault if the model can't compute.
    """
    empty = [index for index, prompt in enumerate(job.prompts) if not prompt]
    if empty:
        raise InvalidInput(f"prompt {empty[0]} has no tokens")
    if not job.prompts:
        return []
    stop = frozenset(tokenizer.wrapper.eos_token_ids)
    order = sorted(range(len(job.prompts)), key=lambda index: (-len(job.prompts[index]), index))
    sampling = job.sampling or [Sampling()] * len(job.prompts)
    answers = [Answer(limit, one) for limit, one in zip(job.max_tokens, sampling, strict=True)]
    try:
        with (
            shared_attention(model),
            task(sink, "answers", total=len(answers), unit="case") as progress,
        ):
            prefix = Prefix(model, job.prompts)
            if prefix.way == "alone" and len(job.prompts) > 1:
                sink.emit(Note(f"answers are drawn one after another: in a batch, {prefix.problem}"))
            start = 0
            while start < len(order):
                chosen = order[start : start + prefix.batch(job.prompts[order[start]])]
                for finished in _answer(prefix, [job.prompts[i] for i in chosen], [answers[i] for i in chosen], stop):
                    progress.advance(start + finished)
                start += len(chosen)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise EngineFault(f"generation failed: {error}") from error
    return [
        Completion(
            text=tokenizer.decode(answer.tokens),
            tokens=len(answer.tokens),
            finish="stop" if answer.finish == "stop" else "length",
        )
        for answer in answers
    ]


def _answer(
    prefix: Prefix, prompts: Sequence[Prompt], answers: Sequence[Answer], stop: frozenset[int]
) -> Iterator[int]:
    """Answer a batch of prompts into `answers`. Yield the number of answers that have finished, whenever some do."""
    caches = prefix.read([prompt[:-1] for prompt in prompts])
    live = list(answers)

    def draw_next(tokens: mx.array, position: int) -> mx.array:
        """The tokens (rows,) at `position` of the answers. Their computation has begun."""
        logits = prefix.model(tokens[:, None], cache=caches)[:, -1]
        drawn = draw(logits, [answer.sampling for answer in live], position)
        mx.async_eval(drawn)  # type: ignore[no-untyped-call]  # mlx's stubs leave its arguments out
        return drawn

    tokens = draw_next(mx.array([prompt[-1] for prompt in prompts]), 0)
    for position in count(1):
        following = draw_next(tokens, position)  # begins before the tokens are read, so that a GPU never waits
        for answer, token in zip(live, np.array(tokens), strict=True):
            if not answer.finish:
                answer.take(int(token), stop)
        tokens = following
        keep = [row for row, answer in enumerate(live) if not answer.finish]
        if not keep:
            yield len(answers)
            return
        # Dropping rows copies the others' keys, which pays only for enough rows.
        if len(keep) <= 0.8 * len(live):
            live = [live[row] for row in keep]
            tokens = tokens[mx.array(keep)]
            for cache in caches:
                cache.filter(keep)
            yield len(answers) - len(live)


Way = Literal["apart", "copies", "alone"]
"""How a batch reads the prefix: its keys once for all rows, a copy for each row, or one prompt after another."""


class Prefix:
    """The `length` tokens that all prompts begin with, without any prompt's last token, and caches that have read them.

    `way` is the first one that gives prompts of different lengths, as a batch, the logits that each has alone.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Prompt]) -> None:
        self.model = model
        self.length = len(os.path.commonprefix([list(prompt[:-1]) for prompt in prompts]))  # noqa: RUF071 # no paths
        self._caches = make_prompt_cache(model)
        _read(model, mx.array([prompts[0][: self.length]]), self._caches)
        self.way: Way = "alone"
        self.problem = ""
        tried = _of_all_sizes(prompts)
        expected = mx.concatenate([self._logits([prompt]) for prompt in tried])
        for way in self._ways():
            if self._gives(way, tried, expected):
                return
        self.way = "alone"

    def batch(self, longest: Prompt) -> int:
        """The most prompts in a batch whose longest is `longest`."""
        if self.way == "alone":
            return 1
        kept = len(longest) - self.length if self.way == "apart" else len(longest)
        return max(1, min(BATCH, KEPT // kept))

    def read(self, prompts: Sequence[Prompt]) -> Caches:
        """Caches that have read `prompts`, one row each. They are read in groups of similar length."""
        caches: Caches = []
        group: list[Prompt] = []
        for prompt in [*prompts, None]:
            if group and (prompt is None or (len(group) + 1) * (len(group[0]) - self.length) > PREFILL):
                read = self._read_group([row[self.length :] for row in group])
                for cache, more in zip(caches, read, strict=False):
                    cache.extend(more)
                caches = caches or read
                group = []
            if prompt is not None:
                group.append(prompt)
        return caches

    def _read_group(self, rows: Sequence[Prompt]) -> Caches:
        if self.way == "alone":
            (row,) = rows
            caches = copy.deepcopy(self._caches)
            _read(self.model, mx.array(list(row), mx.int32)[None], caches)
            return caches
        caches = self._fresh(len(rows))
        longest = max(map(len, rows))
        padding = [longest - len(row) for row in rows]
        for cache in caches:
            cache.prepare(lengths=[len(row) for row in rows], right_padding=padding)
        padded = [[*row, *[0] * missing] for row, missing in zip(rows, padding, strict=True)]
        _read(self.model, mx.array(padded).reshape(len(rows), longest), caches)
        for cache in caches:
            cache.finalize()
        return caches

    def _fresh(self, rows: int) -> Caches:
        """Caches of `rows` rows that have read the prefix."""
        if self.way == "apart":
            return [OwnKeys(cache, rows) for cache in self._caches]
        return [cache.merge([cache] * rows) for cache in self._caches]

    def _ways(self) -> list[Way]:
        """The ways that the model's caches may allow. Rotating caches and recurrent states have no separate keys."""
        plain = self.length > 0 and all(type(cache) is KVCache for cache in self._caches)
        return ["apart", "copies"] if plain else ["copies"]

    def _gives(self, way: Way, prompts: Sequence[Prompt], expected: mx.array) -> bool:
        """Whether a batch of `prompts` has the `expected` logits with this `way`. If not, `problem` says why."""
        self.way = way
        try:
            found = self._logits(prompts)
            difference = scalar(mx.max(mx.abs(found - expected)) / mx.max(mx.abs(expected)))
        except (ValueError, RuntimeError, AttributeError, TypeError, NotImplementedError, IndexError) as error:
            self.problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            return False
        self.problem = f"logits differ by {difference:.1e} of the largest"
        return difference <= TOLERANCE.get(expected.dtype, 1e-4)

    def _logits(self, prompts: Sequence[Prompt]) -> mx.array:
        """The logits (prompts, vocabulary) after each prompt, read with the current `way`."""
        caches = self._read_group([prompt[self.length : -1] for prompt in prompts])
        return self.model(mx.array([prompt[-1:] for prompt in prompts]), cache=caches)[:, -1]


def _of_all_sizes(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The longest prompt, the two shortest of different lengths and one between, longest first; two if there are two.

    The shortest alone may have no token after the prefix, and a state that padding spoils isn't touched then.
    """
    by_length = list({len(prompt): prompt for prompt in prompts}.values())
    by_length.sort(key=len)
    chosen = [by_length[i] for i in sorted({0, min(1, len(by_length) - 1), len(by_length) // 2, len(by_length) - 1})]
    if len(chosen) == 1:
        chosen *= min(2, len(prompts))
    return chosen[::-1]


def _read(model: nn.Module, tokens: mx.array, caches: Caches) -> None:
    """Put `tokens` (rows, length) into the caches. The head is never computed, because nothing reads its output."""
    step = max(1, PREFILL // len(tokens))
    for start in range(0, tokens.shape[1], step):
        model(tokens[:, start : start + step], cache=caches)
        mx.eval([cache.state for cache in caches])
