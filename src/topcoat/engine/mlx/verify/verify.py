"""Greedy answers where the likely ones are known: references are read, and only what differs is generated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.generate.generate import TOLERANCE, Prefix, Prompt, generate
from topcoat.engine.mlx.generate.shared_keys import shared_attention
from topcoat.engine.mlx.model.folder import Loaded, describe, load
from topcoat.engine.mlx.numbers import difference
from topcoat.engine.mlx.train.cut import Plan
from topcoat.engine.mlx.train.trunk import Trunk
from topcoat.engine.mlx.verify.by_caches import CacheReader
from topcoat.engine.mlx.verify.by_layers import KeptStates, LayerReader
from topcoat.engine.mlx.verify.figures import say
from topcoat.engine.mlx.verify.rows import Reader, Row, padded
from topcoat.engine.mlx.verify.shared_layers import shared_layers
from topcoat.engine.protocol import GenerateJob, Verified, VerifyJob
from topcoat.engine.references import references_of
from topcoat.errors import EngineFault
from topcoat.progress import Note, Sink, task
from topcoat.store.cache import ArrayCache
from topcoat.store.records import Completion

__all__ = ["Verifier"]

TRIED = 16
"""The positions of a reference on which reading it at once is compared with reading it token by token."""

PrefixOf = Callable[[Sequence[Prompt]], Prefix]
_UNUSABLE = (ValueError, RuntimeError, AttributeError, TypeError, NotImplementedError, IndexError, KeyError)
"""What mlx-lm's models raise if they are called in a way that they don't know."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies with a model that is held, from `folder`. `by` names the engine: it is part of what a cache keeps."""

    loaded: Loaded
    folder: Path
    compute: Compute
    by: str

    def verify(self, job: VerifyJob, sink: Sink, prefix_of: PrefixOf | None = None) -> list[Verified]:
        """One a prompt, in order. `prefix_of` gives the prefix of the prompts, if one is known.

        A position is the reference's if its token has the largest logit by more than rounding (`figures.NEAR`). From
        the first other position on, `generate` decides. Raises InvalidInput for references without token ids, and what
        `generate` raises.
        """
        stops = frozenset(self.loaded.tokenizer.wrapper.eos_token_ids)
        references = references_of(job, stops)
        rows = [Row(*one) for one in zip(job.prompts, job.max_tokens, references, strict=True)]
        if not rows:
            return []
        with _faults():
            base = load(job.base, self.compute, lazy=True) if job.base else None
            with shared_attention(self.loaded.model), shared_attention((base or self.loaded).model):
                prefix = prefix_of(job.prompts) if prefix_of else Prefix(self.loaded.model, job.prompts)
                prefixes = [prefix, Prefix(base.model, job.prompts)] if base else [prefix]
                self._read(job, [row for row in rows if row.reference.positions], prefixes, sorted(stops), sink)
        completions = self._completed(job, rows, prefix, sink)
        return [_verified(row, one, compared=base is not None) for row, one in zip(rows, completions, strict=True)]

    def _read(
        self, job: VerifyJob, rows: Sequence[Row], prefixes: Sequence[Prefix], stops: Sequence[int], sink: Sink
    ) -> None:
        """Write what the models say of each position into `rows`."""
        if not rows:
            return
        reader = self._reader(job, rows, prefixes, sink)
        with task(sink, "references", total=len(rows), unit="case") as progress:
            done = 0
            for batch in reader.batches(rows):
                for places, logits in reader.logits(batch):
                    say(places, logits, stops)
                done += len(batch)
                progress.advance(done)
        if job.cache:
            ArrayCache(job.cache).trim()

    def _reader(self, job: VerifyJob, rows: Sequence[Row], prefixes: Sequence[Prefix], sink: Sink) -> Reader:
        """The quickest reader that gives the logits of one token after another."""
        by_caches, tried = CacheReader(prefixes), _tried(rows, prefixes)
        if all(prefix.way == "apart" for prefix in prefixes):
            problem = ""
            try:
                layers = len(self.loaded.model.layers)
                split = min(shared_layers(self.folder, job.base), layers - 1) if job.base else 0
                lower = self._lower(job, prefixes[0], split)
                if lower:
                    lower.compute(tried, sink)
                by_layers = LayerReader(prefixes, split, lower)
                problem = _problem(by_layers, by_caches, tried)
            except _UNUSABLE as error:
                problem = _said(error)
            if not problem:
                if lower:
                    lower.compute(rows, sink)
                return by_layers
            sink.emit(Note(f"references aren't read layer by layer: {problem}"))
        for prefix in prefixes:
            if prefix.way == "alone" and len(rows) > 1:
                sink.emit(Note(f"references are read one after another: in a batch, {prefix.problem}"))
        try:
            problem = _problem(by_caches, by_caches, tried)
        except _UNUSABLE as error:
            problem = _said(error)
        if problem:
            sink.emit(Note(f"references are read token by token, which takes as long as generation: {problem}"))
            return CacheReader(prefixes, width=1)
        return by_caches

    def _lower(self, job: VerifyJob, prefix: Prefix, split: int) -> KeptStates | None:
        """The shared layers' states in the job's cache; None if it has none, or no layer is shared."""
        if job.cache is None or split == 0:
            return None
        cache = ArrayCache(job.cache)
        plan = Plan.of(self.loaded.model)
        trunk = Trunk(self.folder, self.compute, split, prefix.tokens, cache, computed_by=self.by, plan=plan)
        return KeptStates(cache, trunk, describe(job.base).digest if job.base else "")

    def _completed(self, job: VerifyJob, rows: Sequence[Row], prefix: Prefix, sink: Sink) -> list[Completion]:
        """Each row's answer: its reference or, where that is unsure, the part before and what is generated after it."""
        begun = [(row, row.unsure or 0) for row in rows if row.unsure is not None]
        prompts = [[*row.prompt, *row.reference.ids[:start]] for row, start in begun]
        rest = GenerateJob(job.model, prompts, [row.limit - start for row, start in begun])
        generated = iter(generate(self.loaded.model, self.loaded.tokenizer, rest, sink, lambda _: prefix))
        completions = []
        for row in rows:
            ids, finish = row.reference.ids, row.reference.finish
            if row.unsure is not None:
                more = next(generated)
                ids, finish = (*ids[: row.unsure], *(more.ids or ())), more.finish
            text = self.loaded.tokenizer.decode(ids)
            completions.append(Completion(text=text, tokens=len(ids), finish=finish, ids=ids))
        return completions


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, MemoryError) as error:
        raise EngineFault(f"verification failed: {error}") from error


def _said(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _verified(row: Row, completion: Completion, *, compared: bool) -> Verified:
    return Verified(
        completion,
        row.reference.first_difference(completion.ids or (), stopped=completion.finish == "stop"),
        math.fsum(row.logprobs),
        math.fsum(row.base_logprobs) if compared else None,
        tuple(row.kl) if compared else None,
    )


def _tried(rows: Sequence[Row], prefixes: Sequence[Prefix]) -> list[Row]:
    """The row with the most tokens, and the one with the shortest prompt if batches are read at all."""
    chosen = [max(rows, key=lambda row: len(row.tokens)), min(rows, key=lambda row: len(row.prompt))]
    alone = chosen[0] is chosen[1] or any(prefix.way == "alone" for prefix in prefixes)
    return chosen[:1] if alone else chosen


def _problem(reader: Reader, by_caches: CacheReader, tried: Sequence[Row]) -> str:
    """How a reader's logits of rows differ from those of one token after another; "" if they don't."""
    pieces = list(reader.logits(tried))
    for number, prefix in enumerate(by_caches.prefixes):
        tokens = padded([row.read[:TRIED] for row in tried])
        caches = prefix.read([row.prompt[:-1] for row in tried])
        steps = [prefix.model(tokens[:, at : at + 1], cache=caches)[:, -1] for at in range(tokens.shape[1])]
        compared = [
            (logits[number][index], steps[at][tried.index(row)])
            for places, logits in pieces
            for index, (row, at) in enumerate(places)
            if at < TRIED
        ]
        read, drawn = (mx.stack(list(side)) for side in zip(*compared, strict=True))
        apart = difference(read, drawn, mx.stack(steps))
        if not apart <= TOLERANCE.get(steps[0].dtype, 1e-4):
            return f"logits differ by {apart:.1e} of the largest"
    return ""
