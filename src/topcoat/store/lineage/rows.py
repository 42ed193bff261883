"""The rows of the lineage, as its readers get them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from topcoat.spec.phase import PhaseSpec
from topcoat.store.records import EvalResult

__all__ = [
    "AttemptRow",
    "CanaryRow",
    "EvaluationRow",
    "ModelRow",
    "OutcomeKind",
    "OutcomeRow",
    "PhaseRow",
    "ProductionRow",
    "Standing",
]

OutcomeKind = Literal["promoted", "discarded"]

Standing = Literal["promoted", "discarded", "awaiting", "unfinished"]
"""How a phase stands. "awaiting": it passed its gate, and its canary isn't over."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model. A root has its own name as `root`; any other model was fused from `parent` and `adapter`."""

    name: str
    digest: str
    path: Path
    parent: str | None
    root: str
    adapter: Path | None
    phase: str | None
    attempt: int | None
    created: str


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase as it was when it began. `base` is the model that it started from.

    `digest` covers all of its inputs, also the engine. `engine` is the engine's name, "" if it wasn't noted.
    """

    id: int
    name: str
    digest: str
    spec: PhaseSpec
    base: str
    created: str
    engine: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a phase; `number` counts from 1."""

    id: int
    phase_id: int
    number: int
    learning_rate: float
    created: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How a phase ended."""

    phase_id: int
    kind: OutcomeKind
    detail: str
    created: str


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation, under the digest of its inputs."""

    key: str
    model: str
    result: EvalResult
    created: str


@dataclass(frozen=True, slots=True)
class ProductionRow:
    """A change of the production model: to `model`, by a promotion or by a rollback."""

    seq: int
    model: str
    kind: Literal["promote", "rollback"]
    reason: str
    created: str


@dataclass(frozen=True, slots=True)
class CanaryRow:
    """A phase's candidate: a model that passed its gate and is tried in use before it is promoted.

    `share` and `sessions` are those of the trial. `undecided` is what becomes of the model if the trial shows nothing.
    """

    phase_id: int
    model: str
    share: float
    sessions: int
    undecided: Literal["promote", "discard"]
    created: str
