"""The production pointer: promote a model, or roll back to the one before."""

from __future__ import annotations

from topcoat.errors import GateRefused, Refused
from topcoat.project.integrity import require_whole
from topcoat.project.session import Session
from topcoat.store.lineage import ModelRow

__all__ = ["discard", "promote", "rollback"]


def promote(session: Session, name: str, *, discarded: bool = False) -> tuple[ModelRow, list[str]]:
    """Make a model of the lineage production. Return it, and why its gate discarded it, if it did.

    If it awaits its canary, that is over. Raises InvalidInput for an unknown model, StorageFault if it is gone or
    damaged, and GateRefused for one that its gate or canary discarded, unless `discarded` allows it.
    """
    model = session.model(name)
    if session.lineage.production() == model.name:
        raise Refused(f"{model.name} is production already", hint="topcoat status")
    reasons = _against(session, model)
    if reasons and not discarded:
        raise GateRefused(
            f"the gate of {model.phase} discarded {model.name}: {'; '.join(reasons)}",
            hint=f"topcoat promote {model.name} --yes, or first: topcoat compare production {model.name}",
        )
    require_whole(session.engine, model)
    if (phase := _awaiting(session, model)) is not None:
        session.lineage.end_canary(phase, "promoted", "promoted by hand, before its canary was over", by_hand=True)
        return model, reasons
    session.lineage.promote(model.name, "; ".join(["promoted by hand", *(f"discarded before: {r}" for r in reasons)]))
    return model, reasons


def discard(session: Session, name: str) -> ModelRow:
    """Discard a model that awaits its canary, and return it. Raises InvalidInput, and Refused for any other model."""
    model = session.lineage.require_model(name)
    if (phase := _awaiting(session, model)) is None:
        raise Refused(f"{model.name} awaits no canary, so there is nothing to decide", hint="topcoat status")
    session.lineage.end_canary(phase, "discarded", "discarded by hand, before its canary was over")
    return model


def _awaiting(session: Session, model: ModelRow) -> int | None:
    """The id of the phase whose canary a model awaits; None if it awaits none."""
    return next((phase.id for phase, row in session.lineage.awaiting() if row.model == model.name), None)


def _against(session: Session, model: ModelRow) -> list[str]:
    """The reasons of the gate or the canary that discarded a model. Empty for a root and for one that passed."""
    origin = session.lineage.origin(model)
    if origin is None:
        return []
    result = session.lineage.result(origin[1].id)
    if result is None:
        return ["it was not judged, because its run was stopped"]
    if not result.verdict.passed:
        return result.verdict.reasons
    outcome = session.lineage.outcome(origin[0].id) if session.lineage.canary(origin[0].id) else None
    return [outcome.detail] if outcome and outcome.kind == "discarded" else []


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
