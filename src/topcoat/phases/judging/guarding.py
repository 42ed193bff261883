"""Asks base and coat the guard cases of a phase, for the gate. The base generates, the coat's answers are verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from topcoat.phases.drawing import choosing_cases, draws_guard_cases, with_rewordings
from topcoat.phases.judging.deciding import GuardResult, Pair, decide
from topcoat.phases.judging.evaluation import source_of
from topcoat.phases.preparation import Prepared
from topcoat.progress import Note
from topcoat.project.session import Session
from topcoat.spec.suite import Case, Suite
from topcoat.store.lineage import ModelRow
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import References, Source

__all__ = ["guard_attempt"]


def guard_attempt(session: Session, prepared: Prepared, base: ModelRow, model: ModelRow, seed: str) -> GuardResult:
    """What guard cases show of `model`, which was made from `base`: the cases that `seed` draws.

    Nothing is drawn where the phase's gate compares means. Raises InvalidInput for templates with mistakes.
    """
    spec = prepared.spec
    if not draws_guard_cases(spec):
        return GuardResult([], {})
    pool = prepared.guard_pool()
    pool = pool.without(choosing_cases(pool, spec, prepared.digest))
    before = source_of(session, base.path)
    assert before.stored is not None
    pool = with_rewordings(pool, spec, seed, before, session.agent, session.sink)
    references = References(before.stored, _comparable(session, base.path, model.path))
    after = source_of(session, model.path, references)

    def answers(cases: Sequence[Case]) -> Mapping[str, Pair]:
        old = _scores(session, before, base.name, cases)
        new = _scores(session, after, model.name, cases)
        return {
            name: Pair(value, new[name], references.verified.get(name)) for name, value in old.items() if name in new
        }

    return decide(pool, spec.gate, spec.guard, seed, answers, session.sink)


def _scores(session: Session, source: Source, name: str, cases: Sequence[Case]) -> dict[str, float]:
    asked = [case.model_copy(update={"reserve": False, "headline": False}) for case in cases]
    suite = Suite(session.suite.path, tuple(asked))
    result = evaluate(source, suite, session.agent, session.sink, name)
    return {score.case_id: score.value for score in result.scores}


def _comparable(session: Session, base: Path, model: Path) -> Path | None:
    """The base's folder, if both models fit into memory: then it is also measured how far their answers drift apart."""
    limit = session.engine.memory_limit
    size = sum(session.engine.describe(folder).size for folder in (base, model))
    if limit is None or size <= limit / 2:
        return base
    session.sink.emit(Note(f"{base.name} and {model.name} don't fit into memory together: their drift isn't measured"))
    return None
