"""Evaluates a model on a suite: ask, parse, score, sum up. Knows no model; a source gives the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter

from topcoat.calls.answer import Answer, Run
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox, sandbox_version
from topcoat.engine.protocol import Engine
from topcoat.errors import EndpointFault
from topcoat.progress import Sink, task
from topcoat.scoring.scorers import NEED_RUN, SCORERS, VERSION
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.expect import Expect
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import CaseError, CategoryScore, Completion, EvalResult, Score
from topcoat.suites.answer_faults import answer_faults
from topcoat.suites.call_format import Draw, format_shares, samples
from topcoat.suites.episodes.episode import Episode
from topcoat.suites.episodes.passes import draws, pass_shares
from topcoat.suites.episodes.player import play
from topcoat.suites.source import Reply, Source, Unanswered, question_of

__all__ = ["evaluate", "evaluation_key", "executed", "score_text"]

_GREEDY = EvalSection()


def evaluate(
    source: Source,
    suite: Suite,
    agent: Agent,
    sink: Sink,
    model_name: str,
    spec: EvalSection = _GREEDY,
) -> EvalResult:
    """The scores on every case of `suite` outside the reserve. Means are over the answered cases.

    Scores are those of the greedy answers. At the temperatures of `spec`, the format of answers is measured, and how
    often episodes are solved each time.
    Raises what the source raises, InvalidInput for a simulator that doesn't work (before anything is asked), and
    EndpointFault if a category has no answered case.
    """
    start = perf_counter()
    asked = [case for case in suite.cases if not case.reserve]
    episodes = draws([case for case in asked if case.is_episode], spec)
    played = play(episodes, suite.path, source, agent, sink) if episodes else []
    single = [case for case in asked if not case.is_episode]
    sampled = samples(single, agent, spec)
    questions = [*(question_of(case, agent) for case in single), *(question for _, question in sampled)]
    replies = source.ask(questions, sink) if questions else []
    drawn = replies[len(single) :]
    outcomes: dict[str, Reply | Episode] = {case.id: reply for case, reply in zip(single, replies, strict=False)}
    outcomes |= {case.id: end for (case, draw), end in zip(episodes, played, strict=True) if not draw.temperature}
    failed = [(case, end) for case in asked if isinstance(end := outcomes[case.id], Unanswered)]
    answered = [(case, end) for case in asked if isinstance(end := outcomes[case.id], Completion)]
    _require_answers([case for case in asked if not isinstance(outcomes[case.id], Unanswered)], failed)
    cases, texts = [case for case, _ in answered], [reply.text for _, reply in answered]
    cut = [reply.finish == "length" for _, reply in answered]
    with task(sink, f"score {model_name}", total=len(asked) - len(failed), unit="answers") as scoring:
        answers = _answers(cases, texts, agent)
        scored = {
            case.id: _score(case, answer, text, agent).model_copy(update={"cut": short})
            for case, answer, text, short in zip(cases, answers, texts, cut, strict=True)
        }
        scored |= {name: end.score for name, end in outcomes.items() if isinstance(end, Episode)}
        scores = [scored[case.id] for case in asked if case.id in scored]
        headline = [score for score in scores if score.headline]
        formats = [Draw(case, 0.0, answer) for case, answer in zip(cases, answers, strict=True)]
        formats += [Draw(case, 0.0, None) for case, _ in failed if not case.is_episode]
        formats += [
            Draw(case, question.temperature, _parsed(case, reply, agent))
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
            generated_tokens=sum(end.tokens for end in (*replies, *played) if not isinstance(end, Unanswered)),
            errors=[CaseError(case_id=case.id, category=case.category, reason=reply.reason) for case, reply in failed],
            formats=format_shares(formats, spec, agent),
            faults=answer_faults(scores, asked),
            passes=pass_shares(episodes, played, spec),
        )
        scoring.result = f"{sum(c.solved for c in result.categories)} of {len(scores)} solved"
    return result


def evaluation_key(
    engine: Engine,
    model: Path,
    suite: Suite,
    agent: Agent,
    spec: EvalSection = _GREEDY,
    day: date | None = None,
    template: Mapping[str, object] | None = None,
) -> str:
    """A digest of everything that determines the scores. Evaluations with the same key have the same result."""
    info = engine.describe(model)
    return digest_of(
        {
            "engine": engine.name,
            "model": info.digest,
            "suite": suite.digest,
            "catalog": agent.catalog.digest,
            "system_prompt": agent.system_prompt,
            **({"calls": agent.calls} if agent.calls != "code" else {}),
            "scorers": VERSION,
            "sandbox": sandbox_version() if any(_runs_programs(case, agent) for case in suite.cases) else None,
            **({"format": [spec.temperatures, spec.samples]} if spec.temperatures else {}),
            **({"day": str(day)} if info.dated else {}),
            **({"template": template} if template else {}),
        }
    )


def _runs_programs(case: Case, agent: Agent) -> bool:
    return case.scorer in NEED_RUN or (case.is_episode and agent.calls == "code")


def score_text(case: Case, text: str, agent: Agent) -> Score:
    """The score of one answer to `case`, which is no episode. Its programs are executed if the scorer needs it."""
    (answer,) = _answers([case], [text], agent)
    return _score(case, answer, text, agent)


def _answers(cases: Sequence[Case], texts: Sequence[str], agent: Agent) -> list[Answer]:
    """The parsed texts. Their programs are executed if the case's scorer needs it."""
    answers = [parse(text, agent.bringing(case.tools)) for case, text in zip(cases, texts, strict=True)]
    if not any(case.scorer in NEED_RUN for case in cases):
        return answers
    with Sandbox(agent.catalog) as sandbox:
        return [
            executed(answer, case.expect, agent, sandbox) if case.scorer in NEED_RUN else answer
            for case, answer in zip(cases, answers, strict=True)
        ]


def executed(answer: Answer, expect: Expect, agent: Agent, sandbox: Sandbox) -> Answer:
    """The answer with its programs executed, with other made-up results too until one run is right."""

    def is_right(ran: Run) -> bool:
        return SCORERS["run"](expect, replace(answer, run=ran), agent)[0] == 1.0

    return replace(answer, run=sandbox.run_until(is_right, answer.programs, answer.asked))


def _parsed(case: Case, reply: Reply, agent: Agent) -> Answer | None:
    return parse(reply.text, agent.bringing(case.tools)) if isinstance(reply, Completion) else None


def _score(case: Case, answer: Answer, text: str, agent: Agent) -> Score:
    value, reason = SCORERS[case.scorer](case.expect, answer, agent.bringing(case.tools))
    return Score(
        case_id=case.id,
        category=case.category,
        value=value,
        reason=reason,
        scorer=case.scorer,
        headline=case.headline,
        answer=text,
        unread=answer.unread,
        unknown=list(answer.unknown),
        empty=answer.empty,
    )


def _require_answers(answered: Sequence[Case], failed: Sequence[tuple[Case, Unanswered]]) -> None:
    """Raise EndpointFault for a category without any answer, because the result would lack it."""
    known = {case.category for case in answered}
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
