"""What a phase's guard cases are drawn from, and whether its file asks for something that they can show."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from topcoat.errors import InvalidInput, Where
from topcoat.guard.pool import GuardCase, GuardPool
from topcoat.guard.rewriting import rewritten
from topcoat.progress import Note, Sink
from topcoat.project.project import Project
from topcoat.project.session import Session
from topcoat.quantity import counted
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.case_template import CaseTemplates, load_templates
from topcoat.spec.example import LocatedExample
from topcoat.spec.phase import PhaseSpec
from topcoat.spec.reading.loader import read_text
from topcoat.spec.suite import Case
from topcoat.suites.evidence.looks import plan_looks
from topcoat.suites.evidence.noninferiority import can_be_kept, fewest_cases
from topcoat.suites.source import Source

__all__ = [
    "choosing_cases",
    "draws_guard_cases",
    "guard_pool",
    "require_deciding",
    "require_templates",
    "templates_file",
    "with_rewordings",
]

CHOOSING = 8
"""The guard cases of a category that adapters are chosen by. Each validation computes their loss."""
_LOOKED_AT = 4
"""So many times the cases that the base shall reword are drawn at most, to find those that no rule reworded."""


def draws_guard_cases(spec: PhaseSpec) -> bool:
    """Whether a phase is judged on guard cases."""
    return spec.gate.evidence == "tested" and spec.guard.cases > 0


def guard_pool(session: Session, examples: Sequence[LocatedExample]) -> GuardPool:
    """What guard cases are drawn from: the suite, the templates beside it, and `examples` (training and replay).

    Raises InvalidInput for templates with mistakes.
    """
    known = f"{counted(len(session.suite.cases), 'case')} and {counted(len(examples), 'example')}"
    session.sink.emit(Note(f"guard cases: finding out what can be drawn from {known}"))
    return GuardPool.of(session.suite, _templates(session), examples, session.agent)


def choosing_cases(pool: GuardPool, spec: PhaseSpec, phase: str) -> list[Case]:
    """The guard cases that adapters are chosen by. Another pool decides the verdict: `pool` without them.

    `phase` is the digest of the phase's inputs.
    """
    seed = digest_of([phase, "choice"])
    return [made.case for name in spec.gate.categories for made in islice(pool.draw(name, seed), CHOOSING)]


def with_rewordings(pool: GuardPool, spec: PhaseSpec, seed: str, base: Source, agent: Agent, sink: Sink) -> GuardPool:
    """`pool`, and cases of each category of the gate in the words of the base, where it can reword.

    `seed` decides which cases those are. How many came of it, and why others didn't, is said. Raises what `base`
    raises.
    """
    cases = [case for name in spec.gate.categories for case in _to_reword(pool, name, seed, spec.guard.reworded)]
    if not cases:
        return pool
    made = rewritten(cases, base, agent, sink)
    reasons = "".join(f"; {count} left out: {reason}" for reason, count in made.left_out.items())
    sink.emit(Note(f"the base said {len(made.cases)} of {counted(len(cases), 'guard case')} in other words{reasons}"))
    return pool.with_rewordings(made.cases)


def _to_reword(pool: GuardPool, category: str, seed: str, count: int) -> Iterator[GuardCase]:
    """Drawn cases in the wordings of the suite, the templates and the examples."""
    drawn = pool.draw(category, digest_of([seed, "rewordings"]))
    return islice((one for one in islice(drawn, _LOOKED_AT * count) if one.way != "reworded"), count)


def templates_file(project: Project) -> Path | None:
    """The file of case templates beside the suite, if there is one."""
    path = project.suite.path.with_name("templates.toml")
    return path if path.is_file() else None


def require_templates(project: Project) -> str | None:
    """The digest of the case templates' content, if there are any. Raises InvalidInput if they have mistakes."""
    _templates(project)
    path = templates_file(project)
    return digest_of(tomllib.loads(read_text(path))) if path else None


def require_deciding(spec: PhaseSpec, path: Path) -> None:
    """Raise if so few guard cases are drawn that no category could ever pass: not even if no answer changes."""
    gate, guard = spec.gate, spec.guard
    if not draws_guard_cases(spec):
        return
    if not can_be_kept(plan_looks(guard.cases, guard.most, gate.alpha), gate.margin):
        needed = fewest_cases(gate.margin, gate.alpha)
        raise InvalidInput(
            f"{counted(guard.most, 'guard case')} of a category can't show that it kept within gate.margin "
            f"{gate.margin:g}, even if no answer changes",
            where=Where(path),
            hint=f"`cases = {needed}` and `most = {needed}` under [guard], or a larger margin",
        )


def _templates(project: Project) -> CaseTemplates | None:
    path = templates_file(project)
    return load_templates(path, project.agent) if path else None
