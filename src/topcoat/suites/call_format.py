"""Measures how often a model keeps to the format of calls if answers are sampled, as most servers do by default.

A model can call every tool correctly at temperature 0 and still leave the format at 0.7, where its second choices
appear. Only cases whose right answer calls a tool are counted. The format is the project's way of calling: through
execute_code alone, or natively, with calls that can be read, name a known tool and fit its JSON Schema.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from topcoat.calls.answer import Answer
from topcoat.calls.arguments import argument_problems
from topcoat.spec.agent import Agent
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case
from topcoat.store.records import FormatShare
from topcoat.suites.source import Question, question_of

__all__ = ["Draw", "format_shares", "in_format", "sample_name", "sample_seed", "samples"]


@dataclass(frozen=True, slots=True)
class Draw:
    """One answer to `case`, drawn at `temperature`. `answer` is None if there is none."""

    case: Case
    temperature: float
    answer: Answer | None


def in_format(answer: Answer, agent: Agent) -> bool:
    """Whether the answer calls tools, and all its calls are such as the agent's tools take.

    In code, it calls execute_code, and nothing else directly; the code itself doesn't matter. Natively, every call can
    be read, names a tool of the agent's and has arguments that fit the tool's JSON Schema.
    """
    if agent.calls == "code":
        return answer.blocks == len(answer.programs) > 0
    tools = agent.catalog.tools
    whole = answer.blocks == len(answer.calls) > 0 and not answer.unread
    return whole and not any(argument_problems(tools[call.tool], call.kwargs) for call in answer.calls)


def samples(cases: Sequence[Case], agent: Agent, spec: EvalSection) -> list[tuple[Case, Question]]:
    """The questions at every temperature above 0: each case `spec.samples` times.

    A question's seed depends on its case and its number alone, so other cases of the suite don't change its answer.
    """
    return [
        (case, _sample(case, agent, temperature, number))
        for temperature in spec.temperatures
        if temperature > 0.0
        for case in cases
        if case.expect.calls and not case.is_episode
        for number in range(1, spec.samples + 1)
    ]


def format_shares(draws: Sequence[Draw], spec: EvalSection, agent: Agent) -> list[FormatShare]:
    """The share of answers in the format, at each temperature with an answer."""
    shares = []
    for temperature in spec.temperatures:
        own = [draw for draw in draws if draw.temperature == temperature and draw.case.expect.calls]
        answered = [
            (draw.case.id, in_format(draw.answer, agent.bringing(draw.case.tools)))
            for draw in own
            if draw.answer is not None
        ]
        if answered:
            wrong = [case_id for case_id, right in answered if not right]
            shares.append(
                FormatShare(
                    temperature=temperature,
                    answers=len(answered),
                    right=len(answered) - len(wrong),
                    errors=len(own) - len(answered),
                    wrong=list(dict.fromkeys(wrong)),
                    calls=agent.calls,
                )
            )
    return shares


def _sample(case: Case, agent: Agent, temperature: float, number: int) -> Question:
    name, seed = sample_name(case, temperature, number), sample_seed(case, number)
    return replace(question_of(case, agent), id=name, temperature=temperature, seed=seed)


def sample_seed(case: Case, number: int) -> int:
    """The seed of the `number`th sample of a case, in 31 bits: some servers refuse larger ones."""
    return zlib.crc32(f"{number} {case.id}".encode()) >> 1


def sample_name(case: Case, temperature: float, number: int) -> str:
    """What a sample is called in messages."""
    return f"{case.id} (sample {number} at temperature {temperature:g})"
