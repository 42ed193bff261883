"""What a project is and how it came to be: the status, and the log of everything that happened."""

from __future__ import annotations

from topcoat.records import CategoryScore, Record
from topcoat.workflow.workspace import Workspace

__all__ = ["LogEntry", "ModelStatus", "PhaseStatus", "ProjectStatus", "history", "project_status"]


class ModelStatus(Record):
    """A model of the lineage and its last evaluation (empty if it has none)."""

    name: str
    parent: str | None
    phase: str | None
    production: bool
    categories: list[CategoryScore]


class PhaseStatus(Record):
    """The latest run of a phase. `outcome` is "promoted", "discarded", or "unfinished"."""

    name: str
    base: str
    outcome: str
    detail: str
    attempts: int


class ProjectStatus(Record):
    """What `topcoat status` shows."""

    version: int = 1
    project: str
    production: str | None
    models: list[ModelStatus]
    phases: list[PhaseStatus]


class LogEntry(Record):
    """One thing that happened, in UTC."""

    at: str
    what: str
    detail: str


def project_status(workspace: Workspace) -> ProjectStatus:
    """Models, phases and production as they stand."""
    lineage = workspace.lineage
    production = lineage.production()
    models = []
    for model in lineage.models():
        scores = lineage.latest_evaluation(model.name)
        models.append(
            ModelStatus(
                name=model.name,
                parent=model.parent,
                phase=model.phase,
                production=model.name == production,
                categories=scores.categories if scores else [],
            )
        )
    latest = {phase.name: phase for phase in lineage.phases()}
    phases = []
    for phase in latest.values():
        outcome = lineage.outcome(phase.id)
        phases.append(
            PhaseStatus(
                name=phase.name,
                base=phase.base,
                outcome=outcome.kind if outcome else "unfinished",
                detail=outcome.detail if outcome else "",
                attempts=len(lineage.attempts(phase.id)),
            )
        )
    return ProjectStatus(project=workspace.project.name, production=production, models=models, phases=phases)


def history(workspace: Workspace) -> list[LogEntry]:
    """Everything that happened, oldest first."""
    lineage = workspace.lineage
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
        if outcome := lineage.outcome(phase.id):
            entries.append(LogEntry(at=outcome.created, what=f"{phase.name} {outcome.kind}", detail=outcome.detail))
    return sorted(entries, key=lambda entry: entry.at)
