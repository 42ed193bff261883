"""A project's status, and the log of its history."""

from __future__ import annotations

from typing import Literal

from topcoat.phases.canaries import awaited
from topcoat.project.project import Project
from topcoat.quantity import percent
from topcoat.store.lineage import Lineage, ModelRow, PhaseRow
from topcoat.store.records import CategoryScore, EvalResult, Record
from topcoat.suites.evidence.matrix import ScoreMatrix, Stage, score_matrix

__all__ = ["LogEntry", "ModelStatus", "PhaseStatus", "ProjectStatus", "history", "phase_matrix", "project_status"]


class ModelStatus(Record):
    """A model of the lineage, its folder, and its last evaluation (empty if it has none)."""

    name: str
    parent: str | None
    phase: str | None
    production: bool
    categories: list[CategoryScore]
    path: str = ""


class PhaseStatus(Record):
    """The latest run of a phase. `outcome` is "promoted", "discarded", "awaiting" its canary, or "unfinished"."""

    name: str
    base: str
    outcome: str
    detail: str
    attempts: int


class ProjectStatus(Record):
    """What `topcoat status` shows. `matrix` covers production and its ancestors; None if none was evaluated."""

    version: Literal[1] = 1
    project: str
    production: str | None
    models: list[ModelStatus]
    phases: list[PhaseStatus]
    matrix: ScoreMatrix | None = None


class LogEntry(Record):
    """One entry of the log. Times are in UTC."""

    at: str
    what: str
    detail: str


def project_status(project: Project) -> ProjectStatus:
    """The current models, phases and production."""
    lineage = project.lineage
    production = lineage.production()
    latest_scores = _latest_scores(lineage)
    models = [
        ModelStatus(
            name=model.name,
            parent=model.parent,
            phase=model.phase,
            production=model.name == production,
            categories=latest_scores[model.name].categories if model.name in latest_scores else [],
            path=str(model.path),
        )
        for model in lineage.models()
    ]
    latest = {phase.name: phase for phase in lineage.phases()}
    waits = {one.phase.id: str(one) for one in awaited(lineage)}
    phases = [_phase_status(lineage, phase, waits.get(phase.id, "")) for phase in latest.values()]
    return ProjectStatus(
        project=project.settings.name,
        production=production,
        models=models,
        phases=phases,
        matrix=phase_matrix(lineage, production) if production else None,
    )


def _phase_status(lineage: Lineage, phase: PhaseRow, waits: str) -> PhaseStatus:
    outcome = lineage.outcome(phase.id)
    return PhaseStatus(
        name=phase.name,
        base=phase.base,
        outcome=lineage.standing(phase.id),
        detail=outcome.detail if outcome else waits,
        attempts=len(lineage.attempts(phase.id)),
    )


def phase_matrix(lineage: Lineage, model: str) -> ScoreMatrix | None:
    """The scores after each phase from the root to `model`. None if none of these models was evaluated."""
    scores = _latest_scores(lineage)
    line = lineage.ancestry(model)
    return score_matrix([Stage(row.name, row.phase, _taught(lineage, row), scores.get(row.name)) for row in line])


def _taught(lineage: Lineage, model: ModelRow) -> list[str]:
    """The categories with a target or a quota in the model's phase."""
    origin = lineage.origin(model)
    if origin is None:
        return []
    spec = origin[0].spec
    return list(dict.fromkeys([*spec.gate.target, *(name for name, count in spec.data.quota.items() if count > 0)]))


def _latest_scores(lineage: Lineage) -> dict[str, EvalResult]:
    """Each model's latest evaluation on a complete suite."""
    return {row.model: row.result for row in lineage.evaluations() if not row.result.reserve}


def history(lineage: Lineage) -> list[LogEntry]:
    """The whole log, oldest entry first."""
    entries = [
        LogEntry(at=entry.created, what=f"production is {entry.model}", detail=entry.reason)
        for entry in lineage.production_history()
    ]
    for phase in lineage.phases():
        entries.append(LogEntry(at=phase.created, what=f"{phase.name} began", detail=f"on {phase.base}"))
        for attempt in lineage.attempts(phase.id):
            detail = f"learning rate {attempt.learning_rate:g}"
            entries.append(
                LogEntry(at=attempt.created, what=f"{phase.name} attempt {attempt.number} began", detail=detail)
            )
        if candidate := lineage.canary(phase.id):
            detail = f"{candidate.model} passed its gate: {percent(candidate.share)} of the new sessions, at most"
            detail += f" {candidate.sessions}"
            entries.append(LogEntry(at=candidate.created, what=f"{phase.name} awaits its canary", detail=detail))
        if outcome := lineage.outcome(phase.id):
            entries.append(LogEntry(at=outcome.created, what=f"{phase.name} {outcome.kind}", detail=outcome.detail))
    return sorted(entries, key=lambda entry: entry.at)
