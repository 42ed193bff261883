"""The production pointer: promote a model, or roll back to the one before."""

from __future__ import annotations

from topcoat.errors import Refused
from topcoat.project.integrity import require_whole
from topcoat.project.session import Session
from topcoat.store.lineage import ModelRow

__all__ = ["promote", "rollback"]


def promote(session: Session, name: str) -> ModelRow:
    """Make a model of the lineage production.

    Raises InvalidInput for an unknown one, StorageFault if it is gone or damaged.
    """
    model = session.model(name)
    if session.lineage.production() == model.name:
        raise Refused(f"{model.name} is production already", hint="topcoat status")
    require_whole(session.engine, model)
    session.lineage.promote(model.name, "promoted by hand")
    return model


def rollback(session: Session) -> tuple[str, ModelRow]:
    """Make the model before the present one production again; returns what it replaces, and it.

    Raises Refused if there is none, StorageFault if it is gone or damaged.
    """
    current = session.lineage.production()
    previous = session.lineage.previous_production()
    if current is None or previous is None:
        raise Refused("there is nothing to roll back to", hint="topcoat log")
    model = session.model(previous)
    require_whole(session.engine, model)
    session.lineage.rollback("rolled back by hand")
    return current, model
