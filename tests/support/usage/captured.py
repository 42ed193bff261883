"""Captured sessions of an agent that asks for the embedded project's validators."""

from __future__ import annotations

from pathlib import Path

from tests.support.usage.conversation import Conversation
from topcoat.usage.importing import open_log

__all__ = ["capture", "session"]

WORDINGS = [
    "which names does the template {} leave unbound, if any?",
    "are all the names bound in {}? I need to be sure",
    "something is off with the names that {} uses, have a look",
    "go over {} and tell me about names that nobody binds",
    "before we ship {}, see to it that its template binds all",
    "my template {} complains about a missing name; check that",
]
CODE = 'result = check_di_template_binding("{}")\nprint(result)'


def session(name: str, number: int, *, wrong: bool = False) -> Conversation:
    path = f"views/page{number}.py"
    talk = Conversation(name).user(WORDINGS[number % len(WORDINGS)].format(path))
    if wrong:
        talk.runs(f'print(check_di_template_bindings("{path}"))', works=False)
    return talk.runs(CODE.format(path)).reports("merged")


def capture(project: Path, count: int) -> None:
    with open_log(project) as log:
        for i in range(count):
            log.add(session(f"session {i}", i).events)
