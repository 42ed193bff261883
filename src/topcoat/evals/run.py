"""Evaluates a model on a suite: ask, parse, score, sum up. Knows no model; the engine answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from topcoat.engine.base import Engine, GenerateJob
from topcoat.evals.calls import parse
from topcoat.evals.scorers import SCORERS, VERSION
from topcoat.progress import Sink, task
from topcoat.records import CategoryScore, Completion, EvalResult, Score
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
    with task(sink, f"score {model_name}", total=len(cases), unit="answers") as scoring:
        scores = [_score(case, answer, catalog) for case, answer in zip(cases, completions, strict=True)]
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
        }
    )


def _score(case: Case, completion: Completion, catalog: Catalog) -> Score:
    value, reason = SCORERS[case.scorer](case.expect, parse(completion.text, catalog.tools.keys()), catalog)
    return Score(
        case_id=case.id,
        category=case.category,
        value=value,
        reason=reason,
        scorer=case.scorer,
        headline=case.headline,
        answer=completion.text,
    )


def _sum_up(category: str, scores: Sequence[Score]) -> CategoryScore:
    values = [score.value for score in scores]
    mean = min(1.0, sum(values) / len(values))
    return CategoryScore(category=category, n=len(values), mean=mean, solved=sum(value == 1.0 for value in values))
