"""What five phases did: means by phase and category, and backward transfer, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

__all__ = ["Means", "Step", "backward_transfer", "kept", "matrix", "summary"]

Means = Mapping[str, float]
"""The mean of each category, 0..1."""


@dataclass(frozen=True, slots=True)
class Step:
    """A phase that has ended: the category that it was for, and its attempts as `topcoat run --json` says them.

    `model` is production afterwards. `minutes` of the clock were spent on it.
    """

    name: str
    category: str
    promoted: bool
    model: str
    attempts: Sequence[Mapping[str, Any]]
    minutes: float


def backward_transfer(rows: Sequence[Means], steps: Sequence[Step]) -> float | None:
    """How much later phases changed what earlier ones taught, in points.

    The mean, over the categories of all promoted phases but the last, of the final score minus the score right after
    the phase (Lopez-Paz and Ranzato 2017, equation 3). `rows` are the means of the base, then of production after each
    step. A phase that was discarded has taught nothing. None if fewer than two were promoted.
    """
    learned = [(row, step.category) for row, step in zip(rows[1:], steps, strict=True) if step.promoted]
    changes = [rows[-1][category] - row[category] for row, category in learned[:-1]]
    return 100 * fmean(changes) if changes else None


def kept(rows: Sequence[Means], steps: Sequence[Step]) -> float:
    """The mean change, in points, of the categories that no phase was for, from the base to the end."""
    taught = {step.category for step in steps}
    return 100 * fmean(rows[-1][name] - rows[0][name] for name in rows[0] if name not in taught)


def matrix(name: str, rows: Sequence[Means], steps: Sequence[Step]) -> str:
    """The means in per cent. A row is production after a phase; the score of a promoted phase's category is bold."""
    categories = list(rows[0])
    lines = [f"| {name} | {' | '.join(categories)} | mean |", f"| --- |{' ---: |' * (len(categories) + 1)}"]
    for number, row in enumerate(rows):
        step = steps[number - 1] if number else None
        cells = [f"{100 * row[category]:.1f}" for category in categories]
        if step and step.promoted:
            at = categories.index(step.category)
            cells[at] = f"**{cells[at]}**"
        head = f"{number}. {step.category}" if step else "base"
        lines.append(f"| {head} | {' | '.join(cells)} | {100 * fmean(row.values()):.1f} |")
    return "\n".join(lines)


def summary(steps: Sequence[Step]) -> str:
    """The phases: their verdicts and attempts."""
    lines = ["| phase | for | verdict | attempts | rates | minutes |", "| --- | --- | --- | ---: | --- | ---: |"]
    for number, step in enumerate(steps, 1):
        rates = ", ".join(f"{attempt['learning_rate']:.2g}" for attempt in step.attempts)
        verdict = "promoted" if step.promoted else "discarded"
        cells = [str(number), step.category, verdict, str(len(step.attempts)), rates, f"{step.minutes:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
