"""What an evaluation showed, by suite and category, and what changed between two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.agent.project import TIERED, agent, suite_rows
from benchmarks.agent.tools import CATEGORIES
from topcoat.spec.suite import Case
from topcoat.store.records.evaluations import EvalResult, Score
from topcoat.suites.evaluate import score_text
from topcoat.suites.evidence.compare import compare, interval_of

__all__ = ["NEW", "PROMPTS27", "changes", "scores_of"]

PROMPTS27 = "prompts27"
NEW = "new"

Figures = dict[str, Any]


def scores_of(folder: Path, evaluation: Mapping[str, Any]) -> Figures:
    """By suite and category: the cases, the right answers, and the 95% interval of the mean.

    `tiered` are the 27 prompts as the agent's own evaluation judged them: the sum of the scores. `folder` is the
    project's, `evaluation` is what `topcoat eval --json` prints.
    """
    scores = EvalResult.model_validate(evaluation).scores
    prompts = [score for score in scores if score.headline]
    return {
        PROMPTS27: _by_category(prompts),
        NEW: _by_category(score for score in scores if not score.headline),
        "tiered": _by_category(_rescored(folder, prompts)),
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Figures:
    """Of the new cases, by category: the evidence of a change, and how many became right and wrong."""
    old, new = (_new_alone(EvalResult.model_validate(one)) for one in (before, after))
    return {
        one.category: {"evidence": one.evidence.call if one.evidence else "", "better": one.better, "worse": one.worse}
        for one in compare(old, new).categories
    }


def _new_alone(result: EvalResult) -> EvalResult:
    """The evaluation without the 27 prompts."""
    return result.model_copy(update={"scores": [s for s in result.scores if not s.headline], "headline": None})


def _rescored(folder: Path, scores: Sequence[Score]) -> list[Score]:
    """The same answers to the 27 prompts, scored by the tools that are called."""
    cases = {row["id"]: Case.model_validate(row) for row in suite_rows(folder, TIERED)}
    asking = agent(folder)
    return [score_text(cases[score.case_id], score.answer, asking) for score in scores]


def _by_category(scores: Iterable[Score]) -> dict[str, Any]:
    every = list(scores)
    found: dict[str, Any] = {}
    for category in CATEGORIES:
        own = [score for score in every if score.category == category]
        if own:
            found[category] = {
                "n": len(own),
                "sum": sum(score.value for score in own),
                "interval": interval_of(own),
            }
    return found
