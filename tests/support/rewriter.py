"""A model that says requests in other words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.support.examples import call
from topcoat.progress import Sink
from topcoat.store.records import Completion
from topcoat.suites.source import Question, Reply, Unanswered

__all__ = ["ANSWER", "Rewriter", "for_me"]

ANSWER = call('print(read_file("a.py"))')


class Rewriter:
    """Rewrites with `words`, and answers each other question with `answers`. Counts what it was asked to rewrite."""

    def __init__(
        self, words: Callable[[str], str | None], answers: Callable[[str], str] = lambda asked: ANSWER
    ) -> None:
        self._words, self._answers = words, answers
        self.rewrote = 0

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        return [self._reply(question) for question in questions]

    def _reply(self, question: Question) -> Reply:
        asked = str(question.messages[-1]["content"])
        if not question.id.endswith("~wording"):
            return Completion(text=self._answers(asked), tokens=3, finish="stop")
        self.rewrote += 1
        new = self._words(asked.rpartition("\n")[2])
        return Unanswered("busy") if new is None else Completion(text=new, tokens=3, finish="stop")


def for_me(text: str) -> str:
    """The request in other words, after a thought."""
    return f"<think>Hm.</think>\nFor me: {text.rstrip('.')}"
