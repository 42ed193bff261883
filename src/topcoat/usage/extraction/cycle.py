"""One cycle of the Flywheel: evaluate, plan, extract, review if asked for, run.

A cycle is the phase `cycleN`. Its file is written when there is data for it. After that, a cycle that was interrupted,
or stopped for review, continues with the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topcoat.phases.plan import GOAL, LEAST, Plan
from topcoat.phases.planning import plan_phase, write_plan
from topcoat.phases.run import PhaseOutcome, run_phase
from topcoat.progress import Note
from topcoat.project.session import Session
from topcoat.quantity import counted
from topcoat.spec.reading.loader import read_text
from topcoat.usage.extraction.extract import Extraction, extract_examples
from topcoat.usage.extraction.selection import HELD_OUT

__all__ = ["CycleOutcome", "turn_cycle"]


@dataclass(frozen=True, slots=True)
class CycleOutcome:
    """How far a cycle came. `stopped` says why it ended before the run; "" if the phase ended with `outcome`."""

    phase: str
    stopped: str = ""
    extraction: Extraction | None = None
    outcome: PhaseOutcome | None = None


def turn_cycle(
    session: Session, *, goal: float = GOAL, held_out: float = HELD_OUT, review: bool = False
) -> CycleOutcome:
    """Do one cycle, or continue the last one.

    It makes no phase if no category is weak, if no weak category has `LEAST` examples, or if fewer than `LEAST`
    examples are new since a discarded cycle. With `review`, it stops before the run. Raises what planning, extraction
    and the run raise.
    """
    name, discarded = _next_turn(session)
    path = session.paths.phase(name)
    found: Extraction | None = None
    if not path.exists():
        plan = plan_phase(session, name=name, goal=goal)
        if plan.spec is None:
            return CycleOutcome(name, f"no category of {plan.model} is weak")
        found = extract_examples(session, name, plan.spec.data.quota, held_out=held_out)
        enough = {category: n for category, n in found.examples.items() if n >= LEAST}
        if not enough:
            return CycleOutcome(name, f"too little data: no weak category has {LEAST} examples", found)
        if enough.keys() != found.examples.keys():
            found = extract_examples(session, name, enough, held_out=held_out)
        new = _lines(Path(found.path)) - (_lines(discarded) if discarded else set())
        if len(new) < LEAST:
            return CycleOutcome(name, f"too little data: {counted(len(new), 'new example')} since {discarded}", found)
        targets = dict.fromkeys(enough)
        examples = sum(found.examples.values())
        plan = plan_phase(session, name=name, goal=goal, examples=examples, targets=targets)
        write_plan(_with_quota(plan, found.examples), path)
        counts = ", ".join(f"{category} {n}" for category, n in found.examples.items())
        session.sink.emit(Note(f"{name}: examples from {counted(found.sessions, 'session')}: {counts}"))
        if review:
            return CycleOutcome(name, f"for review: topcoat review --phase {name}, then topcoat cycle", found)
    return CycleOutcome(name, extraction=found, outcome=run_phase(session, path))


def _next_turn(session: Session) -> tuple[str, Path | None]:
    """The phase to begin or to continue, and the data of the previous cycle if that was discarded."""
    number, discarded = 1, None
    while True:
        phase = session.lineage.latest_phase(f"cycle{number}")
        outcome = session.lineage.outcome(phase.id) if phase else None
        if outcome is None:
            return f"cycle{number}", discarded
        discarded = session.paths.data(f"cycle{number}") if outcome.kind == "discarded" else None
        number += 1


def _lines(path: Path) -> set[str]:
    return set(read_text(path).splitlines()) if path.exists() else set()


def _with_quota(plan: Plan, quota: dict[str, int]) -> Plan:
    """The plan with the quota reduced to the available examples."""
    assert plan.spec is not None  # weak categories were named
    data = plan.spec.data.model_copy(update={"quota": quota})
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"data": data})})
