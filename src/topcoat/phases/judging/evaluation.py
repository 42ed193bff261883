"""Evaluates models. The scores of a folder are stored under the digest of their inputs, and computed only once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topcoat.errors import Held
from topcoat.phases.judging.deciding import GuardResult
from topcoat.phases.judging.gate import judge
from topcoat.progress import Note, Sink
from topcoat.project.integrity import require_whole
from topcoat.project.project import Project
from topcoat.project.rendering import project_tokenizer
from topcoat.project.session import HeldProject, ScoreReader, Session
from topcoat.spec.canonical import digest_of
from topcoat.spec.phase import GateSpec
from topcoat.spec.suite import Case, Suite
from topcoat.store.lineage import ModelRow
from topcoat.store.records import AttemptResult, EvalResult, Evidence, Verdict
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.endpoints import Endpoints
from topcoat.suites.evaluate import evaluate, evaluation_key
from topcoat.suites.evidence.compare import Comparison, compare, compare_attempt, interval_of
from topcoat.suites.source import EngineSource, References, Source
from topcoat.suites.stored_answers import StoredAnswers

__all__ = [
    "answers_of",
    "compare_models",
    "evaluate_endpoint",
    "evaluate_folder",
    "evaluate_model",
    "judge_model",
    "source_of",
]


def evaluate_model(reader: ScoreReader, model: ModelRow, likely: ModelRow | None = None) -> EvalResult:
    """The model's scores on the project's suite. They are computed once, then read from the lineage.

    Where `likely` is a model that probably answers the same, such as its base, its answers are verified.

    Raises StorageFault if the model's files have changed since they were recorded, Held if its scores aren't stored and
    another process holds the project's lock.
    """
    require_whole(reader.engine, model)
    return _evaluate_once(reader, _key(reader, model.path, reader.suite), model.name, model.path, likely)


def evaluate_folder(reader: ScoreReader, folder: Path) -> EvalResult:
    """The scores of a model outside the lineage. They are stored under its path; the model stays outside.

    Raises InvalidInput if the engine can't load a model from `folder`.
    """
    # A separate key: if an equal model joins the lineage later, it is evaluated under its own name.
    key = f"folder {_key(reader, folder, reader.suite)}"
    return _evaluate_once(reader, key, str(folder), folder).model_copy(update={"model": str(folder)})


def evaluate_endpoint(project: Project, endpoint: Endpoint | Endpoints, sink: Sink) -> EvalResult:
    """The scores of a model on a server, or on several. Nothing is stored, as a server can change what it serves.

    Raises EndpointFault if too many questions stay unanswered, InvalidInput if the servers have different models.
    """
    result = _described(_ask(project, endpoint, endpoint.name, sink), project.suite.cases)
    return result.model_copy(update={"servers": endpoint.asked})


def compare_models(reader: ScoreReader, before: ModelRow, after: ModelRow) -> Comparison:
    """Two models on the project's suite, case by case.

    A base and its attempt, in either order, are compared as the gate compared them.
    """
    one, other = evaluate_model(reader, before), evaluate_model(reader, after)
    for base, model, turned in ((before, after, False), (after, before, True)):
        judged = _judged(reader, base, model, one.suite_digest)
        if judged and (found := compare_attempt(judged, turned=turned)):
            return found
    return compare(one, other)


def _judged(reader: ScoreReader, base: ModelRow, model: ModelRow, suite_digest: str) -> AttemptResult | None:
    """The result of the attempt that made `model` from `base`, if there was one, judged on this suite."""
    origin = reader.lineage.origin(model)
    result = reader.lineage.result(origin[1].id) if origin and origin[0].base == base.name else None
    return result if result and result.before.suite_digest == suite_digest else None


def judge_model(
    session: Session, gate: GateSpec, base: ModelRow, model: ModelRow, before: EvalResult, guard: GuardResult
) -> tuple[EvalResult, Verdict]:
    """Evaluate `model` on the suite and judge it against `before`, the base's scores. Return its scores too.

    Categories with a suspected change get a second look: both models also answer their reserve cases, and the evidence
    for these categories is that of all their cases. The means stay those of the suite. Categories that `guard` has are
    decided by it.
    """
    after = evaluate_model(session, model, likely=base)
    falls = judge(gate, before, after).falls
    found = _evidence(compare(before, after, falls))
    suspected = {evidence.category for evidence in found if evidence.call == "suspected"}
    reserve = [case for case in session.suite.cases if case.reserve and case.category in suspected]
    if reserve:
        names = ", ".join(dict.fromkeys(case.category for case in reserve))
        session.sink.emit(Note(f"the suite leaves {names} undecided: both models answer {len(reserve)} reserve cases"))
        one, other = (_evaluate_reserve(session, each, reserve) for each in (base, model))
        found = _evidence(compare(_with(before, one), _with(after, other), falls))
    return after, judge(gate, before, after, found, guard.findings, guard.without)


def _evidence(comparison: Comparison) -> list[Evidence]:
    return [change.evidence for change in comparison.categories if change.evidence]


def _with(result: EvalResult, reserve: EvalResult) -> EvalResult:
    """`result` with the scores of its reserve cases, for the evidence. Its means are those without."""
    return result.model_copy(update={"scores": [*result.scores, *reserve.scores]})


def _evaluate_reserve(session: Session, model: ModelRow, cases: Sequence[Case]) -> EvalResult:
    """The model's scores on reserve `cases`. The headline leaves them out, so that its cases stay the same."""
    asked = [case.model_copy(update={"reserve": False, "headline": False}) for case in cases]
    suite = Suite(session.suite.path, tuple(asked))
    key = f"reserve {_key(session, model.path, suite)}"
    result = session.lineage.evaluation(key)
    if result is None:
        source = source_of(session, model.path)
        result = evaluate(source, suite, session.agent, session.sink, model.name)
        result = result.model_copy(update={"reserve": True, "engine": session.engine.name})
        session.lineage.put_evaluation(key, model.name, result)
    return _described(result, cases)


def _evaluate_once(
    reader: ScoreReader, key: str, name: str, folder: Path, likely: ModelRow | None = None
) -> EvalResult:
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
        references = References(answers_of(reader, likely.path)) if likely else None
        result = _ask(reader, source_of(reader, folder, references), name, reader.sink)
        result = result.model_copy(update={"engine": reader.engine.name})
        reader.lineage.put_evaluation(key, name, result)
    return _described(result, reader.suite.cases)


def _key(reader: ScoreReader, folder: Path, suite: Suite) -> str:
    spec = reader.settings.spec
    return evaluation_key(reader.engine, folder, suite, reader.agent, spec.eval, reader.day, spec.project.template)


def source_of(session: Session, folder: Path, references: References | None = None) -> EngineSource:
    """The model in `folder`, to ask. Its answers are stored.

    With `references` that compare it with a base they aren't: they are verified anew, because the comparison is wanted
    too, and that costs little.
    """
    tokenizer = project_tokenizer(session, session.engine, folder)
    stored = None if references and references.base else answers_of(session, folder)
    return EngineSource(session.engine, folder, tokenizer, stored=stored, references=references)


def answers_of(session: Session, folder: Path) -> StoredAnswers:
    """The stored answers of the model in `folder`."""
    model = digest_of([session.engine.name, session.engine.describe(folder).digest])
    return StoredAnswers(session.paths.answers(model), session.sink)


def _ask(project: Project, source: Source, name: str, sink: Sink) -> EvalResult:
    return evaluate(source, project.suite, project.agent, sink, name, project.settings.spec.eval)


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
