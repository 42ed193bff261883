"""The production pointer: promote, roll back, and what the project's history looks like."""

from __future__ import annotations

from topcoat.errors import Refused
from topcoat.project.session import Workspace
from topcoat.store.lineage import ModelRow

__all__ = ["promote", "rollback"]


def promote(workspace: Workspace, name: str) -> ModelRow:
    """Make a model of the lineage production. Raises InvalidInput for an unknown one, StorageFault if it is gone."""
    model = workspace.model(name)
    if workspace.lineage.production() == model.name:
        raise Refused(f"{model.name} is production already", hint="topcoat status")
    workspace.lineage.promote(model.name, "promoted by hand")
    return model


def rollback(workspace: Workspace) -> tuple[str, ModelRow]:
    """Make the model before the present one production again; returns what it replaces, and it."""
    current = workspace.lineage.production()
    previous = workspace.lineage.previous_production()
    if current is None or previous is None:
        raise Refused("there is nothing to roll back to", hint="topcoat log")
    model = workspace.model(previous)
    workspace.lineage.rollback("rolled back by hand")
    return current, model
