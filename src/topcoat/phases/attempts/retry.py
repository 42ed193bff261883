"""Chooses what the next attempt of a phase changes, from what the earlier ones showed. Pure.

Three things can be wrong with an attempt, and each has its own direction:

- its numbers overflowed, or something fell: a lower rate, and more replay of what the model knows;
- nothing fell and a target is missed while the validation loss still fell at the end: a longer training;
- nothing fell and a target is missed all the same: a higher rate.

Once one rate was too high and another too low, the next one lies between them (their geometric mean). So no attempt
goes in a direction that an earlier one has ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from topcoat.spec.phase import PhaseSpec
from topcoat.store.records import AttemptResult

__all__ = ["LEARN_MORE", "Retry", "Tried", "next_attempt"]

LEARN_MORE = "More examples, a larger train.iters or a higher train.learning_rate can reach the target."

_LONGER = 1.5
"""The factor of the iterations where the validation loss still fell at the end."""
_MOST_REPLAY = 0.8
"""The largest share of replay that a retry asks for."""
_MORE_REPLAY = 1 / 3
"""The part of the new examples' share that replay takes over."""


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt: what it was trained as, and what came of it."""

    spec: PhaseSpec
    result: AttemptResult

    @property
    def rate(self) -> float:
        """The learning rate that decided: that of the chosen trial, or the first."""
        trials = self.result.train.trials if self.result.train else []
        chosen = [trial.learning_rate for trial in trials if trial.chosen]
        return (chosen or self.spec.train.learning_rates)[0]


@dataclass(frozen=True, slots=True)
class Retry:
    """The next attempt is trained as `spec` says; `reason` says what differs, and why. None: there is no use in one."""

    spec: PhaseSpec | None
    reason: str


def next_attempt(tried: Sequence[Tried]) -> Retry:
    """What to do after the attempts of `tried`, none of which passed. There is at least one."""
    last = tried[-1]
    verdict = last.result.verdict
    if verdict.failure and last.result.train is not None:
        return Retry(None, "no further attempt: another rate doesn't make fusing keep more; bits under [fuse] do")
    if verdict.lost_something:
        return _gentler(tried)
    return _stronger(tried)


def _gentler(tried: Sequence[Tried]) -> Retry:
    """A lower rate; more replay if something fell."""
    last = tried[-1]
    if last.spec.retry.learning_rate_factor == 1.0:
        return Retry(None, "no further attempt: with learning_rate_factor = 1.0, the next one would be the same")
    too_low = [one.rate for one in tried if not one.result.verdict.lost_something]
    rate = math.sqrt(max(too_low) * last.rate) if too_low else last.rate * last.spec.retry.learning_rate_factor
    spec = _at_rate(last, rate)
    changes = [_rates(last, spec)]
    replay = last.spec.data.replay
    more = min(_MOST_REPLAY, replay + (1 - replay) * _MORE_REPLAY)
    if 0 < replay < more and not last.result.verdict.failure:
        # As many passes over the new examples as before: replay takes its share from added iterations.
        longer = math.ceil(spec.train.iters * (1 - replay) / (1 - more))
        spec = _longer(spec, longer).model_copy(update={"data": spec.data.model_copy(update={"replay": more})})
        changes += [f"replay {replay:.2f} -> {more:.2f}", _iterations(last, spec)]
    return Retry(spec, f"{', '.join(changes)}: {_what_was_lost(last.result)}")


def _stronger(tried: Sequence[Tried]) -> Retry:
    """A longer training or a higher rate."""
    last = tried[-1]
    train = last.result.train
    too_high = [one.rate for one in tried if one.result.verdict.lost_something]
    if train and train.validations and train.stopped == "iterations" and _still_falling(last.result):
        spec = _longer(last.spec, math.ceil(last.spec.train.iters * _LONGER))
        return Retry(spec, f"{_iterations(last, spec)}: nothing fell, and the validation loss still did at the end")
    if too_high:
        spec = _at_rate(last, math.sqrt(min(too_high) * last.rate))
        return Retry(spec, f"{_rates(last, spec)}: nothing fell, between this rate and one that lost something")
    if last.spec.retry.learning_rate_factor == 1.0:
        return Retry(None, f"no further attempt: nothing fell, and learning_rate_factor is 1.0. {LEARN_MORE}")
    spec = _at_rate(last, last.rate / last.spec.retry.learning_rate_factor)
    return Retry(spec, f"{_rates(last, spec)}: nothing fell, and the target needs more")


def _still_falling(result: AttemptResult) -> bool:
    """Whether the last validation is the best one."""
    assert result.train is not None
    return result.train.best_update == result.train.validations[-1].update


def _at_rate(last: Tried, rate: float) -> PhaseSpec:
    """The attempt's spec with its rates multiplied so that the one that decided becomes `rate`."""
    factor = rate / last.rate
    rates = [one * factor for one in last.spec.train.learning_rates]
    several = isinstance(last.spec.train.learning_rate, list)
    return _trained(last.spec, learning_rate=rates if several else rates[0])


def _longer(spec: PhaseSpec, iters: int) -> PhaseSpec:
    """The spec with `iters` iterations, or the next number that makes whole updates."""
    every = spec.train.grad_accumulation_steps
    return _trained(spec, iters=math.ceil(iters / every) * every)


def _trained(spec: PhaseSpec, **changes: object) -> PhaseSpec:
    return spec.model_copy(update={"train": spec.train.model_copy(update=changes)})


def _rates(last: Tried, spec: PhaseSpec) -> str:
    return f"learning rate {_listed(last.spec)} -> {_listed(spec)}"


def _listed(spec: PhaseSpec) -> str:
    return ", ".join(f"{rate:.3g}" for rate in spec.train.learning_rates)


def _iterations(last: Tried, spec: PhaseSpec) -> str:
    return f"iterations {last.spec.train.iters} -> {spec.train.iters}"


def _what_was_lost(result: AttemptResult) -> str:
    return "; ".join(result.verdict.reasons)
