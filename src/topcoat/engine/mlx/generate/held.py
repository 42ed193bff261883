"""A model that is held for several jobs, with what it has read of dialogues that go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from topcoat.engine.mlx.generate.generate import Answer, Caches, Kept, Prefix, Prompt, generate
from topcoat.engine.mlx.generate.shared_keys import OwnKeys
from topcoat.engine.mlx.model.folder import Loaded
from topcoat.engine.mlx.model.memory import memory_limit
from topcoat.engine.protocol import Ended, GenerateJob, Verified, VerifyJob, ignore
from topcoat.progress import Sink
from topcoat.store.records import Completion

__all__ = ["HeldModel"]

_PART = 0.25
"""The part of the memory that the keys and values of dialogues may take. Then the oldest are forgotten."""

Verifying = Callable[[VerifyJob, Sink, Callable[[Sequence[Prompt]], Prefix]], list[Verified]]


@dataclass(frozen=True, slots=True)
class _Row:
    """What was read of a dialogue after the prefix: its tokens and, for each layer, their keys and values."""

    tokens: tuple[int, ...]
    layers: tuple[tuple[mx.array, mx.array], ...]

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)


class HeldModel:
    """Answers one job after another. A prompt that begins as its dialogue's earlier one is read from there on.

    `computing` surrounds each job. `verifying` verifies with the model, given the prefix of a job's prompts. Keys are
    kept for models whose batches keep the prefix apart (`Prefix.way`). Others read every prompt anew.
    """

    def __init__(
        self,
        loaded: Loaded,
        verifying: Verifying,
        computing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._loaded, self._verifying, self._computing = loaded, verifying, computing
        self._prefix: Prefix | None = None
        self._rows: dict[str, _Row] = {}
        self._most = int(memory_limit() * _PART)
        self._held = 0

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        """One completion a prompt, in order. `ended` is told of each. Raises what the engine's `generate` raises."""
        keeper = self if job.dialogues else None
        with self._computing():
            return generate(self._loaded.model, self._loaded.tokenizer, job, sink, self._prefix_of, keeper, ended)

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        """One a prompt, in order. Raises what the engine's `verify` raises."""
        with self._computing():
            return self._verifying(job, sink, self._prefix_of)

    def _prefix_of(self, prompts: Sequence[Prompt]) -> Prefix:
        """The earlier job's prefix, if all prompts begin with it; else a new one, after which nothing is known."""
        known = self._prefix
        if known is None or not known.length or not all(_begins(prompt, known.tokens) for prompt in prompts):
            self._rows, self._held = {}, 0
            self._prefix = known = Prefix(self._loaded.model, prompts)
        return known

    def recall(self, dialogue: str, own: Prompt) -> Kept:
        row = self._rows.pop(dialogue, None)
        if row is None:
            return 0, ()
        self._held -= row.nbytes
        same = len(os.path.commonprefix([row.tokens, tuple(own)]))  # noqa: RUF071 # no paths
        return same, [_cache(keys[:, :, :same], values[:, :, :same]) for keys, values in row.layers] if same else ()

    def keep(self, answer: Answer, caches: Caches, row: int) -> None:
        if self._prefix is None or not all(isinstance(cache, OwnKeys) for cache in caches):
            return
        tokens = (*answer.prompt[self._prefix.length :], *answer.tokens)
        layers = []
        for cache in caches:
            first = int(cache.left_padding[row].item())
            place = slice(row, row + 1), slice(None), slice(first, first + len(tokens))
            layers.append((mx.contiguous(cache.keys[place]), mx.contiguous(cache.values[place])))
        mx.eval(layers)
        self._rows[answer.dialogue] = kept = _Row(tokens, tuple(layers))
        self._held += kept.nbytes
        while self._held > self._most and self._rows:
            self._held -= self._rows.pop(next(iter(self._rows))).nbytes


def _begins(prompt: Prompt, tokens: tuple[int, ...]) -> bool:
    return len(prompt) > len(tokens) and tuple(prompt[: len(tokens)]) == tokens


def _cache(keys: mx.array, values: mx.array) -> KVCache:
    cache = KVCache()
    cache.keys, cache.values, cache.offset = keys, values, keys.shape[2]
    return cache
