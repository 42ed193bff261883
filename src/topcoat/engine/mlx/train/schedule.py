"""The learning rate of each update. It depends on the update's number alone, so that resuming needs no state."""

from __future__ import annotations

import math

from topcoat.spec.phase import TrainSpec

__all__ = ["learning_rate"]


def learning_rate(spec: TrainSpec, peak: float, update: int, total: int) -> float:
    """The rate of `update` (from 1) of `total`: linear warm-up to `peak` over `spec.warmup` updates, then the schedule.

    "cosine" and "linear" fall from `peak` to zero, which they would reach one update after the last.
    """
    if update <= spec.warmup:
        return peak * update / (spec.warmup + 1)
    if spec.schedule == "constant":
        return peak
    progress = (update - 1 - spec.warmup) / max(1, total - spec.warmup)
    if spec.schedule == "linear":
        return peak * (1.0 - progress)
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
