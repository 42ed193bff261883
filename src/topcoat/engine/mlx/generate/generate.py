"""Batched generation, greedy or sampled. The common beginning of all prompts is computed once."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, Protocol

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import KVCache, make_prompt_cache

from topcoat.engine.mlx.cpu.sharing import Sharing, sharing
from topcoat.engine.mlx.generate.sampling import draw
from topcoat.engine.mlx.generate.shared_keys import OwnKeys, shared_attention
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.mlx.numbers import difference
from topcoat.engine.protocol import Ended, GenerateJob, Sampling, ignore
from topcoat.errors import EngineFault, InvalidInput
from topcoat.progress import Note, Sink, Task, task
from topcoat.store.records import Completion

__all__ = ["Answer", "Caches", "Kept", "Prefix", "Prompt", "generate"]

BATCH = 64
"""The most prompts in a batch: enough to keep matrix products wide."""
KEPT = 32768
"""The most prompt tokens in a batch. With 48 layers of 4 heads 128 wide in 16 bits, their keys take 3.2 GB."""
PREFILL = 512
"""The most prompt tokens in one forward pass. With more, the attention's scores don't fit a CPU's caches."""
TOLERANCE = {mx.float32: 1e-4, mx.float16: 2e-2, mx.bfloat16: 5e-2}
"""The largest accepted difference of attention in two parts, relative to the largest logit."""
TRIED = 512
"""Where no token's keys are left out, this many tokens of a prompt after the prefix show whether a batch is exact."""
_DROPPED = 0.2
"""Rows leave and join a batch together, this share of it at a time: both copy the keys of the others."""
_REPORTED = 16
"""The number of tokens of every row after which progress is reported."""

Prompt = Sequence[int]
Caches = list[Any]
"""One of mlx-lm's caches for each layer."""


class Keeper(Protocol):
    """Remembers what was read of dialogues, for the next job."""

    def recall(self, dialogue: str, own: Prompt) -> Kept:
        """What is known of a dialogue whose tokens after the prefix are now `own`."""
        ...

    def keep(self, answer: Answer, caches: Caches, row: int) -> None:
        """Remember the row of a finished answer."""
        ...


@dataclass(slots=True)
class Answer:
    """One prompt's answer as it grows. `index` is the prompt's place in its job."""

    index: int
    limit: int
    sampling: Sampling
    prompt: Prompt = ()
    dialogue: str = ""
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

    def completion(self, tokenizer: MlxTokenizer) -> Completion:
        """The answer after its end."""
        return Completion(
            text=tokenizer.decode(self.tokens),
            tokens=len(self.tokens),
            finish="stop" if self.finish == "stop" else "length",
            ids=tuple(self.tokens),
        )


def generate(
    model: nn.Module,
    tokenizer: MlxTokenizer,
    job: GenerateJob,
    sink: Sink,
    prefix_of: Callable[[Sequence[Prompt]], Prefix] | None = None,
    keeper: Keeper | None = None,
    ended: Ended = ignore,
) -> list[Completion]:
    """Answers, one for each prompt, in the order of the prompts. `ended` is told of each when it ends.

    `prefix_of` gives the prefix of the prompts, if one is known; `keeper` has what was read of their dialogues.
    The longest prompts come first, so that rows that are read together pad little. Raises InvalidInput for a prompt
    without tokens, EngineFault if the model can't compute.
    """
    empty = [index for index, prompt in enumerate(job.prompts) if not prompt]
    if empty:
        raise InvalidInput(f"prompt {empty[0]} has no tokens")
    if not job.prompts:
        return []
    stop = frozenset(tokenizer.wrapper.eos_token_ids)
    order = sorted(range(len(job.prompts)), key=lambda index: (-len(job.prompts[index]), index))
    sampling = job.sampling or [Sampling()] * len(job.prompts)
    names = job.dialogues or [""] * len(job.prompts)
    asked = list(zip(job.max_tokens, sampling, job.prompts, names, strict=True))
    completions: dict[int, Completion] = {}
    try:
        with (
            shared_attention(model),
            task(sink, "answers", total=len(asked), unit="case") as progress,
            sharing(sink) as share,
        ):
            prefix = prefix_of(job.prompts) if prefix_of else Prefix(model, job.prompts)
            if prefix.way == "alone" and len(job.prompts) > 1:
                sink.emit(Note(f"answers are drawn one after another: in a batch, {prefix.problem}"))
            work = _Work(progress, share)
            for answer in _answer(prefix, [Answer(index, *asked[index]) for index in order], stop, keeper, work):
                completions[answer.index] = completion = answer.completion(tokenizer)
                ended(answer.index, completion)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise EngineFault(f"generation failed: {error}") from error
    return [completions[index] for index in range(len(asked))]


@dataclass(slots=True)
class _Work:
    """What was done of a job: tokens of prompts read, tokens drawn, answers ended. A long prompt shows progress too."""

    progress: Task
    share: Sharing
    read: int = 0
    drawn: int = 0
    ended: int = 0

    def report(self) -> None:
        """Report it. That is often enough to look at other work, too."""
        self.share.look()
        drawn = f", {self.drawn:,} drawn" if self.drawn else ""
        self.progress.advance(self.ended, f"{self.read:,} tokens read{drawn}")


def _answer(
    prefix: Prefix, answers: Sequence[Answer], stop: frozenset[int], keeper: Keeper | None, work: _Work
) -> Iterator[Answer]:
    """Yield each of `answers` when it ends. All are drawn in one batch, whose ended rows make room for waiting ones."""
    waiting = deque(answers)
    batch = _Batch(prefix, keeper, work)
    for step in count(1):
        batch.admit(waiting)
        for answer, token in batch.draw():
            answer.take(token, stop)
            work.drawn += 1
            if answer.finish:
                work.ended += 1
                yield answer
        if step % _REPORTED == 0:
            work.report()
        batch.drop_ended()
        if not batch.live and not waiting:
            return


class _Batch:
    """The answers that are drawn together. A row's token is computed while the one before it is read."""

    def __init__(self, prefix: Prefix, keeper: Keeper | None, work: _Work) -> None:
        self.live: list[Answer] = []
        self._prefix, self._keeper, self._work = prefix, keeper, work
        self._caches: Caches = []
        self._next = mx.array([], mx.uint32)
        """The next token (rows,) of each live answer, not read yet."""

    def admit(self, waiting: deque[Answer]) -> None:
        """Read the prompts of `waiting` answers for which there is room, and begin to draw them."""
        room = self._prefix.batch([*self.live, waiting[0]]) - len(self.live) if waiting else 0
        if room < max(1, _DROPPED * (room + len(self.live))):
            return
        joining = [waiting.popleft() for _ in range(min(room, len(waiting)))]
        begin = self._prefix.length
        kept = [self._keeper.recall(one.dialogue, one.prompt[begin:-1]) for one in joining] if self._keeper else None
        caches = self._prefix.read([one.prompt[:-1] for one in joining], kept, self._work)
        first = self._after(mx.array([one.prompt[-1] for one in joining]), joining, caches, 0)
        if self.live:
            self._next = mx.concatenate([self._next, first])
            for cache, other in zip(self._caches, caches, strict=True):
                cache.extend(other)
        else:
            self._next, self._caches = first, caches
        self.live += joining

    def draw(self) -> Iterator[tuple[Answer, int]]:
        """Each answer that still grows, and its next token."""
        # The tokens after these begin before these are read, so that a GPU never waits.
        tokens, self._next = self._next, self._after(self._next, self.live, self._caches, 1)
        for answer, token in zip(self.live, np.array(tokens), strict=True):
            if not answer.finish:
                yield answer, int(token)

    def drop_ended(self) -> None:
        """Drop the rows of ended answers, if they are enough: dropping copies the others' keys."""
        keep = [row for row, answer in enumerate(self.live) if not answer.finish]
        if len(keep) > (1 - _DROPPED) * len(self.live):
            return
        _remember(self._keeper, self.live, self._caches, keep)
        self._work.report()
        self.live = [self.live[row] for row in keep]
        if keep:
            self._next = self._next[mx.array(keep)]
            for cache in self._caches:
                cache.filter(keep)

    def _after(self, tokens: mx.array, rows: Sequence[Answer], caches: Caches, unread: int) -> mx.array:
        """The tokens (rows,) after `tokens`, of which answers lack the last `unread`. Their computation has begun."""
        logits = self._prefix.model(tokens[:, None], cache=caches)[:, -1]
        places = [len(answer.tokens) + unread for answer in rows]
        drawn = draw(logits, [answer.sampling for answer in rows], places)
        mx.async_eval(drawn)  # type: ignore[no-untyped-call]  # mlx's stubs leave its arguments out
        return drawn


def _remember(keeper: Keeper | None, live: Sequence[Answer], caches: Caches, still: Sequence[int]) -> None:
    """Keep the rows of finished answers that are about to be dropped: all but those of `still`."""
    if keeper is not None:
        for row in sorted({*range(len(live))} - {*still}):
            keeper.keep(live[row], caches, row)


Kept = tuple[int, Sequence[KVCache]]
"""How many tokens after the prefix are known of a dialogue, and for each layer a cache that has read them."""

Way = Literal["apart", "copies", "alone"]
"""How a batch reads the prefix: its keys once for all rows, a copy for each row, or one prompt after another."""


class Prefix:
    """The `length` tokens that all prompts begin with, without any prompt's last token, and caches that have read them.

    `way` is the first one that gives prompts of different lengths, as a batch, the logits that each has alone.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Prompt]) -> None:
        self.model = model
        self.length = len(os.path.commonprefix([list(prompt[:-1]) for prompt in prompts]))  # noqa: RUF071 # no paths
        self.tokens = tuple(prompts[0][: self.length])
        self._caches = make_prompt_cache(model)
        _read(model, mx.array([prompts[0][: self.length]]), self._caches)
        self.way: Way = "alone"
        self.problem = ""
        tried = _of_all_sizes(prompts)
        if self._is_plain() and not _has_window(_configuration(model)):
            tried = _of_all_sizes([prompt[: self.length + TRIED] for prompt in tried])
        expected = mx.concatenate([self._logits([prompt]) for prompt in tried])
        for way in self._ways():
            if self._gives(way, tried, expected):
                return
        self.way = "alone"

    @property
    def shared(self) -> Caches:
        """For each layer, the cache that has read the prefix."""
        return self._caches

    def batch(self, answers: Sequence[Answer]) -> int:
        """The most rows in a batch with these answers, as far as they have grown."""
        if self.way == "alone":
            return 1
        longest = max(len(answer.prompt) + len(answer.tokens) for answer in answers)
        return max(1, min(BATCH, KEPT // (longest - self.length if self.way == "apart" else longest)))

    def read(self, prompts: Sequence[Prompt], kept: Sequence[Kept] | None = None, work: _Work | None = None) -> Caches:
        """Caches that have read `prompts`, one row each. They are read in groups of similar length.

        Of a prompt of which something is `kept`, only the rest is read. `work` counts the tokens.
        """
        known = kept if kept is not None and self.way == "apart" else [(0, ())] * len(prompts)
        rows = [prompt[self.length + start :] for prompt, (start, _) in zip(prompts, known, strict=True)]
        caches: Caches = []
        begin = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or (end - begin + 1) * max(map(len, rows[begin : end + 1])) > PREFILL:
                own = [caches_of for _, caches_of in known[begin:end]] if any(n for n, _ in known[begin:end]) else None
                read = self._read_group(rows[begin:end], own)
                for cache, more in zip(caches, read, strict=False):
                    cache.extend(more)
                caches = caches or read
                if work is not None:
                    work.read += sum(map(len, rows[begin:end]))
                    work.report()
                begin = end
        return caches

    def _read_group(self, rows: Sequence[Prompt], known: Sequence[Sequence[KVCache]] | None = None) -> Caches:
        if self.way == "alone":
            (row,) = rows
            caches = copy.deepcopy(self._caches)
            _read(self.model, mx.array(list(row), mx.int32)[None], caches)
            return caches
        caches = self._known(known) if known is not None else self._fresh(len(rows))
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

    def _known(self, known: Sequence[Sequence[KVCache]]) -> Caches:
        """Caches that have read the prefix, and after it what each row's own have. A row may have none."""
        layers = [[row[layer] if row else KVCache() for row in known] for layer in range(len(self._caches))]
        return [OwnKeys.of_rows(shared, rows) for shared, rows in zip(self._caches, layers, strict=True)]

    def _ways(self) -> list[Way]:
        """The ways that the model's caches may allow. Rotating caches and recurrent states have no separate keys."""
        return ["apart", "copies"] if self.length > 0 and self._is_plain() else ["copies"]

    def _is_plain(self) -> bool:
        """Whether each layer keeps the keys of all tokens, and nothing else."""
        return all(type(cache) is KVCache for cache in self._caches)

    def _gives(self, way: Way, prompts: Sequence[Prompt], expected: mx.array) -> bool:
        """Whether a batch of `prompts` has the `expected` logits with this `way`. If not, `problem` says why."""
        self.way = way
        try:
            found = self._logits(prompts)
            apart = difference(found, expected)
        except (ValueError, RuntimeError, AttributeError, TypeError, NotImplementedError, IndexError) as error:
            self.problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            return False
        self.problem = f"logits differ by {apart:.1e} of the largest"
        return apart <= TOLERANCE.get(expected.dtype, 1e-4)

    def _logits(self, prompts: Sequence[Prompt]) -> mx.array:
        """The logits (prompts, vocabulary) after each prompt, read with the current `way`."""
        caches = self._read_group([prompt[self.length : -1] for prompt in prompts])
        return self.model(mx.array([prompt[-1:] for prompt in prompts]), cache=caches)[:, -1]


def _configuration(model: nn.Module) -> Mapping[str, Any]:
    """What mlx-lm's class reads of the model's config.json."""
    return vars(model.args) if hasattr(model, "args") else {"window": "unknown"}


def _has_window(config: Mapping[str, Any]) -> bool:
    """Whether an attention may not reach all tokens, as the names of a configuration's values say."""
    nested = [value for value in config.values() if isinstance(value, dict)]
    names = [name for name, value in config.items() if value]
    return any("window" in name or "chunk" in name for name in names) or any(_has_window(one) for one in nested)


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
