"""Evaluates a model on a suite: ask, parse, score, sum up. Knows no model; a source gives the answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter

from topcoat.calls.answer import Answer
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox, sandbox_version
from topcoat.engine.protocol import Engine
from topcoat.errors import EndpointFault
from topcoat.progress import Sink, task
from topcoat.scoring.scorers import NEED_RUN, SCORERS, VERSION
from topcoat.spec.canonical import digest_of
from topcoat.spec.catalog import Catalog
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import CaseError, CategoryScore, Completion, EvalResult, Score
from topcoat.suites.call_format import Draw, format_shares, samples
from topcoat.suites.source import Question, Reply, Source, Unanswered

__all__ = ["evaluate", "evaluation_key", "score_text"]

_GREEDY = EvalSection()


def evaluate(
    source: Source,
    suite: Suite,
    catalog: Catalog,
    system_prompt: str,
    sink: Sink,
    model_name: str,
    spec: EvalSection = _GREEDY,
) -> EvalResult:
    """The scores on every case of `suite` outside the reserve. Means are over the answered cases.

    Scores are those of the greedy answers. At the temperatures of `spec`, only the format of answers is measured.
    Raises what the source raises, and EndpointFault if a category has no answered case.
    """
    start = perf_counter()
    asked = [case for case in suite.cases if not case.reserve]
    sampled = samples(asked, system_prompt, spec)
    questions = [Question(case.id, case.dialogue(system_prompt), case.max_tokens) for case in asked]
    replies = source.ask([*questions, *(question for _, question in sampled)], sink)
    drawn = replies[len(asked) :]
    answered = [(case, reply) for case, reply in zip(asked, replies, strict=False) if isinstance(reply, Completion)]
    failed = [(case, reply) for case, reply in zip(asked, replies, strict=False) if isinstance(reply, Unanswered)]
    _require_answers(answered, failed)
    cases, texts = [case for case, _ in answered], [reply.text for _, reply in answered]
    with task(sink, f"score {model_name}", total=len(cases), unit="answers") as scoring:
        answers = _answers(cases, texts, catalog)
        scores = [_score(case, answer, text, catalog) for case, answer, text in zip(cases, answers, texts, strict=True)]
        headline = [score for score in scores if score.headline]
        draws = [Draw(case, 0.0, answer) for case, answer in zip(cases, answers, strict=True)]
        draws += [Draw(case, 0.0, None) for case, _ in failed]
        draws += [
            Draw(case, question.temperature, _parsed(reply, catalog))
            for (case, question), reply in zip(sampled, drawn, strict=True)
        ]
        result = EvalResult(
            model=model_name,
            suite_digest=suite.digest,
            categories=[
                _sum_up(
                    category,
                    [score for score in scores if score.category == category],
                    sum(case.category == category for case, _ in failed),
                )
                for category in dict.fromkeys(case.category for case in asked)
            ],
            headline=_sum_up("headline", headline, sum(case.headline for case, _ in failed)) if headline else None,
            scores=scores,
            seconds=perf_counter() - start,
            generated_tokens=sum(reply.tokens for reply in replies if isinstance(reply, Completion)),
            errors=[CaseError(case_id=case.id, category=case.category, reason=reply.reason) for case, reply in failed],
            formats=format_shares(draws, spec),
        )
        scoring.result = f"{sum(c.solved for c in result.categories)} of {len(scores)} solved"
    return result


def evaluation_key(
    engine: Engine,
    model: Path,
    suite: Suite,
    catalog: Catalog,
    system_prompt: str,
    spec: EvalSection = _GREEDY,
    day: date | None = None,
) -> str:
    """A digest of everything that determines the scores. Evaluations with the same key have the same result."""
    info = engine.describe(model)
    return digest_of(
        {
            "engine": engine.name,
            "model": info.digest,
            "suite": suite.digest,
            "catalog": catalog.digest,
            "system_prompt": system_prompt,
            "scorers": VERSION,
            "sandbox": sandbox_version() if any(case.scorer in NEED_RUN for case in suite.cases) else None,
            **({"format": [spec.temperatures, spec.samples]} if spec.temperatures else {}),
            **({"day": str(day)} if info.dated else {}),
        }
    )


def score_text(case: Case, text: str, catalog: Catalog) -> Score:
    """The score of one answer to `case`. Its programs are executed if the scorer needs it."""
    (answer,) = _answers([case], [text], catalog)
    return _score(case, answer, text, catalog)


def _answers(cases: Sequence[Case], texts: Sequence[str], catalog: Catalog) -> list[Answer]:
    """The parsed texts. Their programs are executed if the case's scorer needs it."""
    answers = [parse(text, catalog.tools.keys()) for text in texts]
    if not any(case.scorer in NEED_RUN for case in cases):
        return answers
    with Sandbox(catalog) as sandbox:
        return [
            replace(answer, run=sandbox.run(answer.programs)) if case.scorer in NEED_RUN else answer
            for case, answer in zip(cases, answers, strict=True)
        ]


def _parsed(reply: Reply, catalog: Catalog) -> Answer | None:
    return parse(reply.text, catalog.tools.keys()) if isinstance(reply, Completion) else None


def _score(case: Case, answer: Answer, text: str, catalog: Catalog) -> Score:
    value, reason = SCORERS[case.scorer](case.expect, answer, catalog)
    return Score(
        case_id=case.id,
        category=case.category,
        value=value,
        reason=reason,
        scorer=case.scorer,
        headline=case.headline,
        answer=text,
    )


def _require_answers(answered: Sequence[tuple[Case, Completion]], failed: Sequence[tuple[Case, Unanswered]]) -> None:
    """Raise EndpointFault for a category without any answer, because the result would lack it."""
    known = {case.category for case, _ in answered}
    for case, reply in failed:
        if case.category not in known:
            raise EndpointFault(
                f"the evaluation is void: no case of category {case.category} was answered ({case.id}: {reply.reason})"
            )


def _sum_up(category: str, scores: Sequence[Score], errors: int) -> CategoryScore:
    values = [score.value for score in scores]
    mean = min(1.0, math.fsum(values) / len(values))
    solved = sum(value == 1.0 for value in values)
    return CategoryScore(category=category, n=len(values), mean=mean, solved=solved, errors=errors)
