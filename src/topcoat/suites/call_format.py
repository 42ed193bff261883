"""Measures how often a model keeps to execute_code if answers are sampled, as most servers do by default.

A model can call every tool correctly at temperature 0 and still leave the format at 0.7, where its second choices
appear. Only cases whose right answer calls a tool are counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from topcoat.calls.answer import Answer
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case
from topcoat.store.records import FormatShare
from topcoat.suites.source import Question

__all__ = ["Draw", "format_shares", "in_format", "samples"]


@dataclass(frozen=True, slots=True)
class Draw:
    """One answer to `case`, drawn at `temperature`. `answer` is None if there is none."""

    case: Case
    temperature: float
    answer: Answer | None


def in_format(answer: Answer) -> bool:
    """Whether the answer calls execute_code, and nothing else directly. The code itself doesn't matter."""
    return answer.blocks == len(answer.programs) > 0


def samples(cases: Sequence[Case], system_prompt: str, spec: EvalSection) -> list[tuple[Case, Question]]:
    """The questions at every temperature above 0: each case `spec.samples` times.

    A question's seed depends on its case and its number alone, so other cases of the suite don't change its answer.
    """
    return [
        (case, _sample(case, system_prompt, temperature, number))
        for temperature in spec.temperatures
        if temperature > 0.0
        for case in cases
        if case.expect.calls
        for number in range(1, spec.samples + 1)
    ]


def format_shares(draws: Sequence[Draw], spec: EvalSection) -> list[FormatShare]:
    """The share of answers in the format, at each temperature with an answer."""
    shares = []
    for temperature in spec.temperatures:
        own = [draw for draw in draws if draw.temperature == temperature and draw.case.expect.calls]
        answered = [(draw.case.id, in_format(draw.answer)) for draw in own if draw.answer is not None]
        if answered:
            wrong = [case_id for case_id, right in answered if not right]
            shares.append(
                FormatShare(
                    temperature=temperature,
                    answers=len(answered),
                    right=len(answered) - len(wrong),
                    errors=len(own) - len(answered),
                    wrong=list(dict.fromkeys(wrong)),
                )
            )
    return shares


def _sample(case: Case, system_prompt: str, temperature: float, number: int) -> Question:
    seed = zlib.crc32(f"{number} {case.id}".encode()) >> 1  # 31 bits: some servers refuse larger seeds
    name = f"{case.id} (sample {number} at temperature {temperature:g})"
    return Question(name, case.dialogue(system_prompt), case.max_tokens, temperature, seed)
