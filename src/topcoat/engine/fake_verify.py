"""How the fake engine verifies: it gives each token of its own answer the same high probability."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from topcoat.engine.references import Reference

__all__ = ["logprobs_of", "token_kl"]

OUTCOMES = 257
"""A byte, or the end of the answer."""
SURE = 0.9
"""The probability of what the fake says next. All other outcomes share the rest."""
_UNSURE = (1.0 - SURE) / (OUTCOMES - 1)
END = -1
"""The end of an answer, as an outcome."""


def logprobs_of(reference: Reference, answer: Sequence[int]) -> list[float]:
    """The log-probability of each position of the reference, for a model whose whole answer is `answer`."""
    return [
        math.log(1 / OUTCOMES if expected is None else SURE if expected == token else _UNSURE)
        for expected, token in zip(_expected(reference, answer), [*reference.ids, END], strict=False)
    ]


def token_kl(reference: Reference, base: Sequence[int], model: Sequence[int]) -> list[float]:
    """KL(base || model) at each position of the reference, for models with these whole answers."""
    pairs = zip(_expected(reference, base), _expected(reference, model), strict=True)
    return [_kl(of_base, of_model) for of_base, of_model in pairs]


def _expected(reference: Reference, answer: Sequence[int]) -> list[int | None]:
    """The outcome that a model expects at each position: the next of its answer, or none after something else."""
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(answer, reference.ids, strict=False))
    known = [*answer, END][: 1 + sum(1 for _ in equal)]
    return [known[place] if place < len(known) else None for place in range(reference.positions)]


def _kl(base: int | None, model: int | None) -> float:
    chosen = sorted({outcome for outcome in (base, model) if outcome is not None})
    counts = [*((outcome, 1) for outcome in chosen), (None, OUTCOMES - len(chosen))]
    terms = [(count, _probability(base, outcome), _probability(model, outcome)) for outcome, count in counts]
    return math.fsum(count * p * math.log(p / q) for count, p, q in terms)


def _probability(expected: int | None, outcome: int | None) -> float:
    """Of an outcome, or of one that no model expects (None)."""
    if expected is None:
        return 1 / OUTCOMES
    return SURE if outcome == expected else _UNSURE
