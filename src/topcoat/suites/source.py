"""Sources of answers: an engine with the model, or anything else that takes questions, such as `endpoint`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from topcoat.calls.thoughts import opened_thought
from topcoat.engine.protocol import Answering, Engine, GenerateJob, Message, Sampling, Tokenizer, Verified, VerifyJob
from topcoat.errors import InvalidInput, Mistake
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.spec.agent import Agent, Tools
from topcoat.spec.suite import Case
from topcoat.store.records import Completion
from topcoat.suites.stored_answers import StoredAnswers

__all__ = ["EngineSource", "Question", "References", "Reply", "Source", "Unanswered", "held", "question_of"]


_TAIL = 32
"""As many tokens as a mark and a few line breaks take, even in bytes."""


@dataclass(frozen=True, slots=True)
class Question:
    """A dialogue to answer in at most `max_tokens` tokens: greedily at temperature 0, else sampled from `seed`.

    `id` is the case's, for messages. `tools` are those that the model is shown.
    """

    id: str
    messages: Sequence[Message]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    tools: Tools | None = None


def question_of(case: Case, agent: Agent) -> Question:
    """What a case asks, greedily."""
    shown = agent.bringing(case.tools).shown
    return Question(case.id, case.dialogue(agent.system_prompt), case.max_tokens, tools=shown)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A missing answer. The model isn't the `reason`, so the case has no score.

    `hopeless`: whoever was asked would leave any other question unanswered too.
    """

    reason: str
    hopeless: bool = False


Reply = Completion | Unanswered


class Source(Protocol):
    """Answers questions."""

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        """One reply a question, in order. Raises TopcoatError if continuing is pointless."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSource:
    """A model folder, asked through an engine. `tokenizer` renders; None is the model's own without options.

    `answering` is the model if it is held in memory (`held`). `stored` has the model's earlier answers, and takes each
    new one when it ends. `references` has the answers that the model probably gives: these are verified.
    """

    engine: Engine
    model: Path
    tokenizer: Tokenizer | None = None
    answering: Answering | None = None
    stored: StoredAnswers | None = None
    references: References | None = None

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        """One reply a question, in order. A thought that the chat template opens in the prompt is part of the answer.

        Raises InvalidInput with every case that the chat template refuses.
        """
        tokenizer = self.tokenizer or self.engine.tokenizer(self.model)
        prompts = _prompts(questions, tokenizer)
        asked = [
            _Asked(question.id, prompt, question.max_tokens, Sampling(question.temperature, question.seed))
            for question, prompt in zip(questions, prompts, strict=True)
        ]
        known = {i: found for i, one in enumerate(asked) if self.stored and (found := self.stored.get(*one.what))}
        if known and self.answering is None:
            sink.emit(Note(f"{counted(len(known), 'answer')} read back, {len(asked) - len(known)} to ask"))
        likely = self._likely(asked, known)
        if likely:
            known |= self._verified(asked, likely, sink)
        missing = [index for index in range(len(asked)) if index not in known]
        if missing:
            known |= zip(missing, self._generated([asked[index] for index in missing], sink), strict=True)
        return [_with_thought(known[i], tokenizer.decode(prompt[-_TAIL:])) for i, prompt in enumerate(prompts)]

    def _likely(self, asked: Sequence[_Asked], known: Mapping[int, Completion]) -> dict[int, Completion]:
        """The answers that the model probably gives to greedy questions that aren't answered yet."""
        if self.references is None or self.answering is not None:
            return {}
        likely = {
            index: self.references.answers.get(*one.what)
            for index, one in enumerate(asked)
            if index not in known and not one.sampling.temperature
        }
        return {index: answer for index, answer in likely.items() if answer is not None and answer.ids is not None}

    def _verified(self, asked: Sequence[_Asked], likely: Mapping[int, Completion], sink: Sink) -> dict[int, Completion]:
        assert self.references is not None
        job = VerifyJob(
            self.model,
            [asked[index].prompt for index in likely],
            [asked[index].max_tokens for index in likely],
            [*likely.values()],
            self.references.base,
        )
        verified = dict(zip(likely, self.engine.verify(job, sink), strict=True))
        for index, found in verified.items():
            self.references.verified[asked[index].id] = found
            if self.stored:
                self.stored.add(*asked[index].what, found.completion)
        return {index: found.completion for index, found in verified.items()}

    def _generated(self, asked: Sequence[_Asked], sink: Sink) -> list[Completion]:
        def ended(place: int, completion: Completion) -> None:
            if self.stored:
                self.stored.add(*asked[place].what, completion)

        job = GenerateJob(
            self.model,
            [one.prompt for one in asked],
            [one.max_tokens for one in asked],
            [one.sampling for one in asked],
            [one.id for one in asked],
        )
        return (self.answering or self.engine).generate(job, sink, ended)


class _Asked(NamedTuple):
    """A question as an engine gets it."""

    id: str
    prompt: list[int]
    max_tokens: int
    sampling: Sampling

    @property
    def what(self) -> tuple[list[int], int, Sampling]:
        """What decides the answer."""
        return self.prompt, self.max_tokens, self.sampling


@dataclass(frozen=True, slots=True)
class References:
    """The `answers` of another model, which the model that is asked probably gives too.

    `verified` takes what was found about each question, by its id. With the other model's folder as `base`, it also has
    how likely both models are to give these answers.
    """

    answers: StoredAnswers
    base: Path | None = None
    verified: dict[str, Verified] = field(default_factory=dict)


@contextmanager
def held(source: Source) -> Iterator[Source]:
    """The source for dialogues that go on: an engine holds the model until the block ends, and what it has read."""
    if isinstance(source, EngineSource):
        with source.engine.answering(source.model) as answering:
            yield replace(source, answering=answering)
    else:
        yield source


def _with_thought(completion: Completion, tail: str) -> Completion:
    """The answer to a prompt that ends with `tail`, with the thought that it opens: a cut one would look like prose."""
    opened = opened_thought(tail)
    return completion.model_copy(update={"text": opened + completion.text}) if opened else completion


def _prompts(questions: Sequence[Question], tokenizer: Tokenizer) -> list[list[int]]:
    prompts = []
    refused: dict[str, Mistake] = {}
    for question in questions:
        try:
            prompts.append(tokenizer.chat(question.messages, tools=question.tools, add_generation_prompt=True))
        except InvalidInput as error:
            hint = error.hint or 'system_prompt = "" under [project], or turns as the chat template wants them'
            refused[question.id] = Mistake(f"case {question.id}: {error.message}", hint=hint)
    if refused:
        count = f"{len(refused)} of {counted(len({question.id for question in questions}), 'case')}"
        raise InvalidInput(f"{count} can't be asked", mistakes=(*refused.values(),))
    return prompts
