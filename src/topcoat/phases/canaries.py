"""Phases that passed a gate with `[gate.canary]`: their models are tried in use, then promoted or discarded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from topcoat.progress import Note
from topcoat.project.integrity import require_whole
from topcoat.project.session import Session
from topcoat.quantity import percent
from topcoat.spec.phase import PhaseSpec
from topcoat.store.lineage import CanaryRow, Lineage, OutcomeRow, PhaseRow

__all__ = ["Awaited", "awaited", "canary_words", "end_canary", "how_it_ended", "say_canary", "say_who_awaits"]

_GIVEN_UP = "given up for a restart"
"""The beginning of the reason for which a restart of its phase discards a candidate."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A phase that awaits its canary, and its candidate.

    `obstacle` says why the candidate can't be tried now, "" if it can: it is compared with its base, in production.
    """

    phase: PhaseRow
    candidate: CanaryRow
    obstacle: str

    def __str__(self) -> str:
        """What it awaits, in words that follow the phase's name."""
        if self.obstacle:
            return f"awaiting its canary, but {self.obstacle}"
        row = self.candidate
        return f"awaiting its canary: topcoat serve gives {row.model} {_trial(row.share, row.sessions)}"


def awaited(lineage: Lineage) -> list[Awaited]:
    """The phases that await their canary, oldest first."""
    production = lineage.production()
    return [
        Awaited(
            phase,
            candidate,
            ""
            if phase.base == production
            else f"{candidate.model} grew from {phase.base}, and production is {production}: "
            f"topcoat promote {candidate.model}, or topcoat run {phase.name} --restart",
        )
        for phase, candidate in lineage.awaiting()
    ]


def canary_words(lineage: Lineage, phase: PhaseRow) -> str:
    """What a phase's canary decided, or that it is awaited, as a sentence; "" for a phase without one."""
    if lineage.canary(phase.id) is None:
        return ""
    outcome = lineage.outcome(phase.id)
    if outcome is None:
        said = next(str(one) for one in awaited(lineage) if one.phase.id == phase.id)
        return f"{said[0].upper()}{said[1:]}."
    if outcome.kind == "discarded":
        return f"It passed its gate. {outcome.detail[0].upper()}{outcome.detail[1:]}."
    reasons = [change.reason for change in lineage.production_history() if change.model == outcome.detail]
    return f"{reasons[0][0].upper()}{reasons[0][1:]}." if reasons else ""


def how_it_ended(lineage: Lineage, one: Awaited) -> str:
    """How a phase ended that awaited its canary, as a clause; "" if it awaits it still."""
    outcome, model = lineage.outcome(one.phase.id), one.candidate.model
    if outcome is None:
        return ""
    reason = outcome.detail
    if outcome.kind == "promoted":
        reason = next((change.reason for change in lineage.production_history()[::-1] if change.model == model), "")
    if reason.startswith(_GIVEN_UP):
        return f"{model} was {_GIVEN_UP}"
    how = "by hand" if reason.startswith(f"{outcome.kind} by hand") else "meanwhile: topcoat log says why"
    return f"{model} was {outcome.kind} {how}"


def say_who_awaits(session: Session, phase: str) -> None:
    """Say which other phases await their canary while `phase` begins: its base doesn't have their coats."""
    for one in awaited(session.lineage):
        if one.phase.name != phase and not one.obstacle:
            said = f"{one.phase.name} awaits its canary (topcoat serve): {phase} begins on {one.phase.base}, without it"
            session.sink.emit(Note(said))


def say_canary(session: Session, phase: str, spec: PhaseSpec) -> None:
    """Say what comes after the gate of a phase that is checked, and which phases await their canary."""
    if (canary := spec.gate.canary) is not None:
        trial = f"topcoat serve gives it {_trial(canary.share, canary.sessions)}"
        session.sink.emit(Note(f"a model that passes the gate of {phase} awaits its canary: {trial}"))
    say_who_awaits(session, phase)


def _trial(share: float, sessions: int) -> str:
    return f"{percent(share)} of the new sessions, at most {sessions}"


def end_canary(session: Session, phase_id: int, verdict: Literal["promote", "discard"], reason: str) -> OutcomeRow:
    """Promote the candidate of a phase that awaits its canary, or discard it.

    Raises `StorageFault` if the candidate's files have changed, and what `WritableLineage.end_canary` raises.
    """
    candidate = session.lineage.canary(phase_id)
    if verdict == "promote" and candidate is not None:
        require_whole(session.engine, session.lineage.require_model(candidate.model))
    return session.lineage.end_canary(phase_id, "promoted" if verdict == "promote" else "discarded", reason)
