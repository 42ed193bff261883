"""What a tracker is told of one attempt: settings, curves, and figures at the end. No text of examples or answers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, JsonValue

from topcoat.spec.phase import PhaseSpec, flat
from topcoat.store.records import AttemptResult, EvalResult, FuseReport, Record, TrainReport

__all__ = ["Point", "TrackedRun", "tracked_run"]

_SETTINGS = {"train", "fuse", "gate", "guard", "retry"}
"""The tables of a phase file that hold settings. Paths stand in the others."""


class Point(Record):
    """The figures of one update, by name."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    update: int
    values: dict[str, float]


class TrackedRun(Record):
    """One attempt, as trackers see it. `points` are in the order of the updates, which count from 0.

    `verdict` is "passed" or "discarded", `reasons` say why it is discarded.
    """

    version: Literal[1] = 1
    project: str
    phase: str
    name: str
    settings: dict[str, JsonValue]
    points: list[Point]
    summary: dict[str, float]
    verdict: Literal["passed", "discarded"]
    reasons: list[str]


def tracked_run(project: str, result: AttemptResult, spec: PhaseSpec) -> TrackedRun:
    """What trackers are told of an attempt that was made by `spec`."""
    settings = flat(spec.model_dump(mode="json", include=_SETTINGS))
    return TrackedRun(
        project=project,
        phase=result.phase,
        name=result.model,
        settings={**settings, "base": result.before.model, "learning_rate": result.learning_rate},
        points=_points(result.train) if result.train else [],
        summary={
            **(_trained(result.train) if result.train else {}),
            **(_fused(result.fuse) if result.fuse else {}),
            **_scores(result.before, result.after),
            **{
                f"guard/{name}/{finding.category}": value
                for finding in result.verdict.guard
                for name, value in (("before", finding.before), ("after", finding.after), ("fall", finding.fall))
            },
            "passed": float(result.verdict.passed),
        },
        verdict="passed" if result.verdict.passed else "discarded",
        reasons=result.verdict.reasons,
    )


def _points(train: TrainReport) -> list[Point]:
    """The curves of a training. A validation before the first update is at 0."""
    values: dict[int, dict[str, float]] = {}
    for step in train.steps:
        values[step.update] = {
            "train/loss": step.loss,
            "train/grad_norm": step.grad_norm,
            "train/learning_rate": step.learning_rate,
            "train/tokens": step.tokens,
            "train/seconds": step.seconds,
        }
    for validation in train.validations:
        found = values.setdefault(validation.update, {})
        found["valid/loss"] = validation.loss
        if validation.guard is not None:
            found["guard/loss"] = validation.guard
    return [Point(update=update, values=found) for update, found in sorted(values.items())]


def _trained(train: TrainReport) -> dict[str, float]:
    best = {} if train.best_loss is None else {"best/loss": train.best_loss, "best/update": train.best_update}
    return {
        **best,
        "trained/tokens": train.trained_tokens,
        "trained/seconds": train.seconds,
        **({"trained/peak_memory": train.peak_memory} if train.peak_memory else {}),
    }


def _fused(fuse: FuseReport) -> dict[str, float]:
    survival = [module.survival for module in fuse.modules]
    return {
        **({"fuse/kl": fuse.kl} if fuse.kl is not None else {}),
        **({"fuse/survival": min(survival)} if survival else {}),
    }


def _scores(before: EvalResult, after: EvalResult | None) -> dict[str, float]:
    """The scores by category: before, and if the attempt came to its evaluation, after and the change."""
    found: dict[str, float] = {}
    for category in before.categories:
        found[f"before/{category.category}"] = category.mean
    for category in after.categories if after else ():
        found[f"after/{category.category}"] = category.mean
        if earlier := before.category(category.category):
            found[f"change/{category.category}"] = category.mean - earlier.mean
    return found
