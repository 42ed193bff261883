"""Sources of answers: an engine with the model, or anything else that takes questions, such as `endpoint`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from topcoat.engine.protocol import Engine, GenerateJob, Message, Sampling
from topcoat.progress import Sink
from topcoat.store.records import Completion

__all__ = ["EngineSource", "Question", "Reply", "Source", "Unanswered"]


@dataclass(frozen=True, slots=True)
class Question:
    """A dialogue to answer in at most `max_tokens` tokens: greedily at temperature 0, else sampled from `seed`.

    `id` is the case's, for messages.
    """

    id: str
    messages: Sequence[Message]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A missing answer. The model isn't the `reason`, so the case has no score."""

    reason: str


Reply = Completion | Unanswered


class Source(Protocol):
    """Answers questions."""

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        """One reply a question, in order. Raises TopcoatError if continuing is pointless."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSource:
    """A model folder, asked through an engine. `day` is today for its chat template."""

    engine: Engine
    model: Path
    day: date | None = None

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        tokenizer = self.engine.tokenizer(self.model, self.day)
        prompts = [tokenizer.chat(question.messages, add_generation_prompt=True) for question in questions]
        job = GenerateJob(
            self.model,
            prompts,
            [question.max_tokens for question in questions],
            [Sampling(question.temperature, question.seed) for question in questions],
        )
        return [*self.engine.generate(job, sink)]
