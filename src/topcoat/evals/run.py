"""Evaluates a model on a suite: ask, parse, score, sum up. Knows no model; the engine answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from topcoat.engine.base import Engine, GenerateJob
from topcoat.evals.answer import Answer
from topcoat.evals.calls import parse
from topcoat.evals.sandbox import Sandbox, sandbox_version
from topcoat.evals.scorers import NEED_RUN, SCORERS, VERSION
from topcoat.progress import Sink, task
from topcoat.records import CategoryScore, EvalResult, Score
from topcoat.spec.canonical import digest_of
from topcoat.spec.catalog import Catalog
from topcoat.spec.suite import Case, Suite

__all__ = ["evaluate", "evaluation_key"]


def evaluate(
    engine: Engine, model: Path, suite: Suite, catalog: Catalog, system_prompt: str, sink: Sink, model_name: str
) -> EvalResult:
    """The model's scores on every case of `suite` that isn't kept in reserve. Raises what the engine raises."""
    start = perf_counter()
    cases = [case for case in suite.cases if not case.reserve]
    tokenizer = engine.tokenizer(model)
    prompts = [tokenizer.chat(case.dialogue(system_prompt), add_generation_prompt=True) for case in cases]
    completions = engine.generate(GenerateJob(model, prompts, [case.max_tokens for case in cases]), sink)
    texts = [completion.text for completion in completions]
    with task(sink, f"score {model_name}", total=len(cases), unit="answers") as scoring:
        answers = _answers(cases, texts, catalog)
        scores = [_score(case, answer, text, catalog) for case, answer, text in zip(cases, answers, texts, strict=True)]
        headline = [score for score in scores if score.headline]
        result = EvalResult(
            model=model_name,
            suite_digest=suite.digest,
            categories=[
                _sum_up(category, [score for score in scores if score.category == category])
                for category in dict.fromkeys(case.category for case in cases)
            ],
            headline=_sum_up("headline", headline) if headline else None,
            scores=scores,
            seconds=perf_counter() - start,
            generated_tokens=sum(completion.tokens for completion in completions),
        )
        scoring.result = f"{sum(c.solved for c in result.categories)} of {len(scores)} solved"
    return result


def evaluation_key(engine: Engine, model: Path, suite: Suite, catalog: Catalog, system_prompt: str) -> str:
    """A digest of everything that determines the scores: two evaluations with one key have the same result."""
    return digest_of(
        {
            "engine": engine.name,
            "model": engine.describe(model).digest,
            "suite": suite.digest,
            "catalog": catalog.digest,
            "system_prompt": system_prompt,
            "scorers": VERSION,
            "sandbox": sandbox_version() if any(case.scorer in NEED_RUN for case in suite.cases) else None,
        }
    )


def _answers(cases: Sequence[Case], texts: Sequence[str], catalog: Catalog) -> list[Answer]:
    """What the texts hold; where a case's scorer needs it, also how the code in it runs."""
    answers = [parse(text, catalog.tools.keys()) for text in texts]
    if not any(case.scorer in NEED_RUN for case in cases):
        return answers
    with Sandbox(catalog) as sandbox:
        return [
            replace(answer, run=sandbox.run(answer.programs)) if case.scorer in NEED_RUN else answer
            for case, answer in zip(cases, answers, strict=True)
        ]


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


def _sum_up(category: str, scores: Sequence[Score]) -> CategoryScore:
    values = [score.value for score in scores]
    mean = min(1.0, sum(values) / len(values))
    return CategoryScore(category=category, n=len(values), mean=mean, solved=sum(value == 1.0 for value in values))
