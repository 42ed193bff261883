"""References as rows that are read, and what models say of their positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import mlx.core as mx

from topcoat.engine.references import Reference

__all__ = ["Place", "Reader", "Row", "padded"]


@dataclass(slots=True, eq=False)
class Row:
    """One prompt with its reference, and what a model says of each position of the reference.

    `gaps` are the reference's logit less the largest other one, in units of what rounding can change; `logprobs` its
    log-probability in nats, `base_logprobs` the base's; `kl` is KL(base || model).
    """

    prompt: Sequence[int]
    limit: int
    reference: Reference
    gaps: list[float] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    base_logprobs: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)

    @property
    def read(self) -> list[int]:
        """The tokens after which a position is compared: the prompt's last, and the reference's before another."""
        return [self.prompt[-1], *self.reference.ids][: self.reference.positions]

    @property
    def tokens(self) -> list[int]:
        """All tokens that are read."""
        return [*self.prompt[:-1], *self.read]

    @property
    def unsure(self) -> int | None:
        """The first position that isn't the reference's, or may not be; None if the answer is the reference."""
        first = next((place for place, gap in enumerate(self.gaps) if not gap > 1.0), None)
        return len(self.reference.ids) if first is None and self.reference.open else first


Place = tuple[Row, int]
"""A position of a row's reference."""


class Reader(Protocol):
    """Reads references with one model, or with a model and its base."""

    def logits(self, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Place], Sequence[mx.array]]]:
        """Pieces of some rows' places, in order, with each model's logits (places, vocabulary)."""
        ...

    def batches(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """The rows, in the batches that are read together."""
        ...


def padded(rows: Sequence[Sequence[int]]) -> mx.array:
    """Tokens (rows, the longest's length), int32. The padding follows a row's end, so causal layers don't see it."""
    longest = max(map(len, rows))
    return mx.array([[*row, *[0] * (longest - len(row))] for row in rows], mx.int32)
