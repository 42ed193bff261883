"""The learning rate of each update: a function of its number alone, so that resuming needs no state."""

from __future__ import annotations

import math

from topcoat.spec.phase import TrainSpec

__all__ = ["learning_rate"]


def learning_rate(spec: TrainSpec, peak: float, update: int, total: int) -> float:
    """The rate of `update` (from 1) of `total`: linear warm-up to `peak` over `spec.warmup` updates, then the schedule.

    "cosine" and "linear" fall from `peak` towards zero, which the update after the last would reach.
    """
    if update <= spec.warmup:
        return peak * update / (spec.warmup + 1)
    if spec.schedule == "constant":
        return peak
    progress = (update - 1 - spec.warmup) / max(1, total - spec.warmup)
    if spec.schedule == "linear":
        return peak * (1.0 - progress)
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
