"""Losses in place of the plain one, over the same stored activations.

Each stands before a `SplitForward`, so the loop, the optimizer and the files stay topcoat's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train.forward import SplitForward
from topcoat.engine.mlx.train.loss import padded
from topcoat.engine.protocol import Row

__all__ = ["Anchored", "Preferred", "divergence", "key_of"]

Preference = Literal["orpo", "dpo"]
LAMBDA, BETA = 0.1, 0.1
"""The weight of ORPO's odds ratio (Hong et al. 2024, arXiv 2403.07691), and DPO's beta (Rafailov et al. 2023)."""


def key_of(row: Row) -> bytes:
    """Tells rows apart."""
    return row.tokens.tobytes() + row.trained.tobytes()


def log_probabilities(forward: SplitForward, states: mx.array) -> mx.array:
    """Of every token (places, vocabulary), from the last layer's states (places, ...)."""
    logits = forward.head(states).astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def own_states(forward: SplitForward, row: Row) -> mx.array:
    """The last layer's states (trained places, ...) of one row."""
    tokens, queries, chosen, _, weights, *values = forward.arrays([row])
    states = forward.states(tokens, queries, chosen, values)[: int(scalar((weights > 0).sum()))]
    mx.eval(states)
    return states


def divergence(forward: SplitForward, rows: Sequence[Row], of_base: Mapping[bytes, mx.array]) -> float:
    """The mean of KL(base || model) in nats at the trained places of `rows`, whose base's states are `of_base`."""
    total, places = 0.0, 0
    for row in rows:
        base, own = (log_probabilities(forward, one) for one in (of_base[key_of(row)], own_states(forward, row)))
        total += scalar((mx.exp(base) * (base - own)).sum())
        places += own.shape[0]
    return total / max(1, places)


class Anchored:
    """On rows with a base's state, the target is the base's own distribution, KL(base || model), not one token."""

    def __init__(self, inner: SplitForward, of_base: Mapping[bytes, mx.array]) -> None:
        self._inner = inner
        self._of_base = of_base

    @property
    def trunk_seconds(self) -> float:
        return self._inner.trunk_seconds

    def groups(self, batches: Sequence[Sequence[Row]]) -> list[list[Row]]:
        return self._inner.groups(batches)

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        """Those of the plain forward, with the base's states and the places where they are the target before values."""
        tokens, queries, chosen, targets, weights, *values = self._inner.arrays(rows)
        counts = [int(row.trained[1:].sum()) for row in rows]
        known = [self._of_base.get(key_of(row)) for row in rows]
        width = next(iter(self._of_base.values())).shape[1:]
        parts = [mx.zeros((count, *width)) if base is None else base for base, count in zip(known, counts, strict=True)]
        states = mx.concatenate(parts)
        padding = [(0, chosen.shape[0] - states.shape[0]), *[(0, 0)] * len(width)]
        marked = np.repeat([base is not None for base in known], counts)
        marked = np.pad(marked, (0, chosen.shape[0] - len(marked)))
        return (tokens, queries, chosen, targets, weights, mx.array(marked), mx.pad(states, padding), *values)

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        tokens, queries, chosen, targets, weights, anchored, of_base, *values = arrays
        own = log_probabilities(self._inner, self._inner.states(tokens, queries, chosen, values))
        base = mx.stop_gradient(log_probabilities(self._inner, of_base))
        entropy = -mx.take_along_axis(own, targets[:, None], axis=-1)[:, 0]
        losses = mx.where(anchored, (mx.exp(base) * (base - own)).sum(axis=-1), entropy)
        return (losses * weights).sum(), weights.sum()


class Preferred:
    """Rows with a wrong answer beside the right one are also trained to prefer the right one."""

    def __init__(self, inner: SplitForward, wrong: Mapping[bytes, Row], kind: Preference) -> None:
        self._inner = inner
        self._wrong = wrong
        self._kind = kind
        self._reference: dict[bytes, float] = {}
        """By row, the log-probability of its answer by the base: adapters are new, so the model is the base."""

    @property
    def trunk_seconds(self) -> float:
        return self._inner.trunk_seconds

    def refer_to(self, rows: Sequence[Row]) -> None:
        """Take the present model for DPO's reference on rows that have a wrong answer, and on these answers."""
        paired = [row for row in rows if key_of(row) in self._wrong]
        for row in (*paired, *(self._wrong[key_of(row)] for row in paired)):
            tokens, queries, chosen, targets, weights, *values = self._inner.arrays([row])
            own = log_probabilities(self._inner, self._inner.states(tokens, queries, chosen, values))
            answer = mx.take_along_axis(own, targets[:, None], axis=-1)[:, 0] * (weights > 0)
            self._reference[key_of(row)] = scalar(answer.sum())

    def groups(self, batches: Sequence[Sequence[Row]]) -> list[list[Row]]:
        return self._inner.groups(batches)

    def arrays(self, rows: Sequence[Row]) -> tuple[mx.array, ...]:
        """Of the rows and then of the wrong answers, with the row of each place, the pairs and references.

        Pairs (pairs, 2) are numbers of a right and of a wrong row. References (rows,) are log-probabilities.
        """
        paired = [index for index, row in enumerate(rows) if key_of(row) in self._wrong]
        every = [*rows, *(self._wrong[key_of(rows[index])] for index in paired)]
        tokens, queries, chosen, targets, weights, *values = self._inner.arrays(every)
        counts = [int(row.trained[1:].sum()) for row in every]
        rows_of = np.repeat(np.arange(len(every)), counts)
        assert padded(len(rows_of)) == chosen.shape[0]
        rows_of = np.pad(rows_of, (0, chosen.shape[0] - len(rows_of)), constant_values=len(every))
        pairs = np.array([(index, len(rows) + number) for number, index in enumerate(paired)], np.int32).reshape(-1, 2)
        reference = np.array([self._reference.get(key_of(row), 0.0) for row in every], np.float32)
        numbers = (mx.array(rows_of.astype(np.int32)), mx.array(pairs), mx.array(reference))
        return (tokens, queries, chosen, targets, weights, *numbers, *values)

    def loss(self, model: nn.Module, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        tokens, queries, chosen, targets, weights, rows_of, pairs, reference, *values = arrays
        own = log_probabilities(self._inner, self._inner.states(tokens, queries, chosen, values))
        answers = mx.take_along_axis(own, targets[:, None], axis=-1)[:, 0]
        belongs = (rows_of[None] == mx.arange(reference.shape[0])[:, None]).astype(mx.float32)
        sums, lengths = belongs @ answers, mx.maximum(belongs.sum(axis=1), 1)
        is_right = rows_of < reference.shape[0] - pairs.shape[0]
        used = weights * is_right
        total = -(answers * used).sum()
        if pairs.shape[0]:
            right, wrong = pairs[:, 0], pairs[:, 1]
            if self._kind == "orpo":
                odds = self._log_odds(sums / lengths)
                margin, weight = odds[right] - odds[wrong], LAMBDA
            else:
                gained = BETA * (sums - reference)
                margin, weight = gained[right] - gained[wrong], 1.0
            # A pair counts as much as the tokens of its right answer, as in the papers, where means are per answer.
            total = total + weight * (cast(mx.array, nn.softplus(-margin)) * lengths[right]).sum()
        return total, used.sum()

    @staticmethod
    def _log_odds(mean: mx.array) -> mx.array:
        """log(p / (1 - p)) of log p."""
        return mean - mx.log(mx.maximum(1 - mx.exp(mean), 1e-6))
