"""A model that answers from a script: for each case, its answers in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from topcoat.progress import Sink
from topcoat.store.records import Completion
from topcoat.suites.source import Question, Reply, Unanswered

__all__ = ["Scripted", "calling", "program"]


def calling(*calls: tuple[str, Mapping[str, object]], words: str = "") -> str:
    """An answer with calls as Hermes' models write them."""
    written = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
    return "\n".join([*([words] if words else []), *(f"<tool_call>{call}</tool_call>" for call in written)])


def program(code: str) -> str:
    """An answer with a program in execute_code."""
    return f"<tool_call><function=execute_code><parameter=code>\n{code}\n</parameter></function></tool_call>"


class Scripted:
    """Gives the next answer of a question's script, by the case's id. Remembers the questions of each call of `ask`.

    A script that is used up, or None in it, gives no answer.
    """

    def __init__(self, scripts: Mapping[str, Sequence[str | None]]) -> None:
        self._rest = {name: [*script] for name, script in scripts.items()}
        self.asked: list[list[Question]] = []

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        self.asked.append([*questions])
        return [self._reply(question) for question in questions]

    def _reply(self, question: Question) -> Reply:
        rest = self._rest[question.id]
        text = rest.pop(0) if rest else None
        return Unanswered("no answer") if text is None else Completion(text=text, tokens=len(text), finish="stop")

    def messages(self, case: str) -> list[dict[str, Any]]:
        """The turns of the case's last question."""
        return [dict(m) for m in next(q for asked in reversed(self.asked) for q in asked if q.id == case).messages]
