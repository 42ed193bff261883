"""Evaluates models. The scores of a folder are stored under the digest of their inputs, and computed only once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topcoat.errors import Held
from topcoat.phases.gate import judge
from topcoat.progress import Note, Sink
from topcoat.project.integrity import require_whole
from topcoat.project.project import Project
from topcoat.project.session import HeldProject, ScoreReader, Session
from topcoat.spec.phase import GateSpec
from topcoat.spec.suite import Case, Suite
from topcoat.store.lineage import ModelRow
from topcoat.store.records import AttemptResult, CategoryScore, EvalResult, Verdict
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.evaluate import evaluate, evaluation_key
from topcoat.suites.evidence.compare import Comparison, compare, compare_attempt, interval_of
from topcoat.suites.source import EngineSource, Source

__all__ = ["compare_models", "evaluate_endpoint", "evaluate_folder", "evaluate_model", "judge_model"]


def evaluate_model(reader: ScoreReader, model: ModelRow) -> EvalResult:
    """The model's scores on the project's suite. They are computed once, then read from the lineage.

    Raises StorageFault if the model's files have changed since they were recorded, Held if its scores aren't stored and
    another process holds the project's lock.
    """
    require_whole(reader.engine, model)
    return _evaluate_once(reader, _key(reader, model.path, reader.suite), model.name, model.path)


def evaluate_folder(reader: ScoreReader, folder: Path) -> EvalResult:
    """The scores of a model outside the lineage. They are stored under its path; the model stays outside.

    Raises InvalidInput if the engine can't load a model from `folder`.
    """
    # A separate key: if an equal model joins the lineage later, it is evaluated under its own name.
    key = f"folder {_key(reader, folder, reader.suite)}"
    return _evaluate_once(reader, key, str(folder), folder).model_copy(update={"model": str(folder)})


def evaluate_endpoint(project: Project, endpoint: Endpoint, sink: Sink) -> EvalResult:
    """The scores of a model on a server. Nothing is stored, because a server can change what it serves.

    Raises EndpointFault if too many questions stay unanswered.
    """
    return _described(_ask(project, endpoint, endpoint.name, sink), project.suite.cases)


def compare_models(reader: ScoreReader, before: ModelRow, after: ModelRow) -> Comparison:
    """Two models on the project's suite, case by case.

    A base and its attempt are compared as the gate compared them, with the reserve cases that both answered.
    """
    one, other = evaluate_model(reader, before), evaluate_model(reader, after)
    judged = _judged(reader, before, after, one.suite_digest)
    if judged and (found := compare_attempt(judged)):
        return found
    judged = _judged(reader, after, before, one.suite_digest)
    return compare(judged.after, judged.before) if judged and judged.after else compare(one, other)


def _judged(reader: ScoreReader, base: ModelRow, model: ModelRow, suite_digest: str) -> AttemptResult | None:
    """The result of the attempt that made `model` from `base`, if there was one, judged on this suite."""
    origin = reader.lineage.origin(model)
    result = reader.lineage.result(origin[1].id) if origin and origin[0].base == base.name else None
    return result if result and result.before.suite_digest == suite_digest else None


def judge_model(
    session: Session, gate: GateSpec, base: ModelRow, model: ModelRow, before: EvalResult
) -> tuple[EvalResult, EvalResult, Verdict]:
    """Evaluate `model` and judge it against `before`, the base's scores. Return both evaluations as judged.

    Categories with a suspected change get a second look: both models also answer their reserve cases, and these
    categories are compared over all their cases.
    """
    after = evaluate_model(session, model)
    suspected = _suspected(gate, before, after)
    reserve = [case for case in session.suite.cases if case.reserve and case.category in suspected]
    if reserve:
        names = ", ".join(dict.fromkeys(case.category for case in reserve))
        session.sink.emit(Note(f"the suite leaves {names} undecided: both models answer {len(reserve)} reserve cases"))
        before = _pooled(before, _evaluate_reserve(session, base, reserve))
        after = _pooled(after, _evaluate_reserve(session, model, reserve))
    comparison = compare(before, after, judge(gate, before, after).falls)
    evidence = [change.evidence for change in comparison.categories if change.evidence]
    return before, after, judge(gate, before, after, evidence)


def _suspected(gate: GateSpec, before: EvalResult, after: EvalResult) -> set[str]:
    changes = compare(before, after, judge(gate, before, after).falls).categories
    return {change.category for change in changes if change.evidence and change.evidence.call == "suspected"}


def _evaluate_reserve(session: Session, model: ModelRow, cases: Sequence[Case]) -> EvalResult:
    """The model's scores on reserve `cases`. The headline leaves them out, so that its cases stay the same."""
    asked = [case.model_copy(update={"reserve": False, "headline": False}) for case in cases]
    suite = Suite(session.suite.path, tuple(asked))
    key = f"reserve {_key(session, model.path, suite)}"
    result = session.lineage.evaluation(key)
    if result is None:
        source = EngineSource(session.engine, model.path, session.day)
        prompt = session.settings.system_prompt
        result = evaluate(source, suite, session.catalog, prompt, session.sink, model.name)
        result = result.model_copy(update={"reserve": True, "engine": session.engine.name})
        session.lineage.put_evaluation(key, model.name, result)
    return _described(result, cases)


def _evaluate_once(reader: ScoreReader, key: str, name: str, folder: Path) -> EvalResult:
    result = reader.lineage.evaluation(key)
    if result:
        reader.sink.emit(Note(f"{name}: evaluated before, scores read back"))
    elif isinstance(reader, HeldProject):
        raise Held(
            f"the scores of {name} are not stored yet, and {reader.refusal.message}",
            where=reader.refusal.where,
            hint=reader.refusal.hint,
        )
    else:
        assert isinstance(reader, Session)
        result = _ask(reader, EngineSource(reader.engine, folder, reader.day), name, reader.sink)
        result = result.model_copy(update={"engine": reader.engine.name})
        reader.lineage.put_evaluation(key, name, result)
    return _described(result, reader.suite.cases)


def _key(reader: ScoreReader, folder: Path, suite: Suite) -> str:
    settings = reader.settings
    spec = settings.spec.eval
    return evaluation_key(reader.engine, folder, suite, reader.catalog, settings.system_prompt, spec, reader.day)


def _ask(project: Project, source: Source, name: str, sink: Sink) -> EvalResult:
    settings = project.settings
    return evaluate(source, project.suite, project.catalog, settings.system_prompt, sink, name, settings.spec.eval)


def _described(result: EvalResult, cases: Sequence[Case]) -> EvalResult:
    """`result` with its cases' families and the number of reserve cases, as the suite has them."""
    families = {case.id: case.family or "" for case in cases}
    scores = [score.model_copy(update={"family": families[score.case_id]}) for score in result.scores]
    reserve = [case.category for case in cases if case.reserve]
    categories = [
        category.model_copy(
            update={
                "interval": interval_of([score for score in scores if score.category == category.category]),
                "reserve": reserve.count(category.category),
            }
        )
        for category in result.categories
    ]
    headline = result.headline
    if headline:
        own = interval_of([score for score in scores if score.headline])
        headline = headline.model_copy(update={"interval": own})
    return result.model_copy(update={"scores": scores, "categories": categories, "headline": headline})


def _pooled(result: EvalResult, extra: EvalResult) -> EvalResult:
    """`result` with the answers of `extra`, which has more cases of some categories."""
    scores = [*result.scores, *extra.scores]
    return result.model_copy(
        update={
            "scores": scores,
            "categories": [
                _pool(category, more, interval_of([s for s in scores if s.category == category.category]))
                if (more := extra.category(category.category))
                else category
                for category in result.categories
            ],
            "seconds": result.seconds + extra.seconds,
            "generated_tokens": result.generated_tokens + extra.generated_tokens,
        }
    )


def _pool(one: CategoryScore, other: CategoryScore, interval: tuple[float, float] | None) -> CategoryScore:
    n = one.n + other.n
    mean = min(1.0, (one.mean * one.n + other.mean * other.n) / n)
    return one.model_copy(update={"n": n, "mean": mean, "solved": one.solved + other.solved, "interval": interval})
